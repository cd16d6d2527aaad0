"""The Jenkins tools that read, on a stand-in of the controller's REST API."""

from pathlib import Path
from typing import Any

import pytest
from jenkins_client import JenkinsTools, encrypt_credentials
from jenkins_controller import Build, Controller
from jenkins_server import serve_jenkins
from starlette.responses import Response
from tool_client import KEY, open_tool_client, settings_for

from skyflo_tools.errors import InvalidArguments
from skyflo_tools.http import tls_context
from skyflo_tools.jenkins.access import CREDENTIALS_META
from skyflo_tools.jenkins.paths import job_name, job_path, queue_number
from tests.support.certificates import create_certificate


def build_of(controller: Controller, job: str, **values: str) -> Build:
    item, _ = controller.schedule(controller.jobs[job], values)
    return controller.start(item)


async def test_whoami_names_user_version_and_address(jenkins: JenkinsTools) -> None:
    found = await jenkins.read("jenkins_whoami")
    assert (found.data["user"], found.data["version"]) == ("alice", "2.579")
    assert found.data["address"] == jenkins.address


@pytest.mark.promise("secrets")
async def test_private_authority_is_trusted_where_the_environment_names_it(
    controller: Controller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = create_certificate(tmp_path)
    with serve_jenkins(controller, certificate) as address:
        async with open_tool_client(settings_for(tmp_path / "no-kubeconfig", "", tmp_path)) as client:
            jenkins = JenkinsTools(client, address, controller.tokens["alice"])
            refused = await jenkins.call("jenkins_whoami", {})
            assert refused.is_error
            assert "certificate" in refused.text.lower()
            assert controller.requests == [], "credentials were sent"
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate.file))
            tls_context.cache_clear()
            try:
                assert (await jenkins.read("jenkins_whoami")).data["user"] == "alice"
            finally:
                tls_context.cache_clear()


async def test_jobs_are_listed_by_the_names_that_tools_take(jenkins: JenkinsTools) -> None:
    top = await jenkins.read("jenkins_get_jobs")
    assert [job["name"] for job in top.data["jobs"]] == ["plain", "deploy", "traced", "off", "team"]
    branches = await jenkins.read("jenkins_get_jobs", folder="team/app")
    assert [job["name"] for job in branches.data["jobs"]] == ["team/app/main", "team/app/feature%2Fx"]
    branch = await jenkins.read("jenkins_get_job", job="team/app/feature%2Fx")
    assert branch.data["kind"] == "WorkflowJob"
    job = await jenkins.read("jenkins_get_jobs", folder="plain")
    assert "is a job, not a folder" in job.text


async def test_parameters_show_choices_and_hide_secret_defaults(jenkins: JenkinsTools) -> None:
    found = await jenkins.read("jenkins_get_job_parameters", job="deploy")
    by_name = {each["name"]: each for each in found.data["parameters"]}
    assert by_name["ENV"]["choices"] == ["dev", "prod"]
    assert by_name["KEY"]["secret"]
    assert by_name["KEY"]["default"] is None
    assert by_name["bundle.txt"]["type"] == "File"
    none = await jenkins.read("jenkins_get_job_parameters", job="plain")
    assert none.text == "plain takes no parameters."


async def test_build_shows_state_causes_and_parameters_without_secrets(
    jenkins: JenkinsTools, controller: Controller
) -> None:
    build = build_of(controller, "deploy", VERSION="7", ENV="prod", KEY="canary-4711")
    running = await jenkins.read("jenkins_get_build", job="deploy", number=1)
    assert running.data["state"] == "building"
    assert running.data["parameters"] == {"VERSION": "7", "ENV": "prod", "KEY": "(hidden)"}
    build.result = "FAILURE"
    listed = await jenkins.read("jenkins_get_last_builds", job="deploy")
    assert [each["state"] for each in listed.data["builds"]] == ["FAILURE"]
    assert "Started by user alice" in listed.text
    assert "canary" not in running.text + listed.text + str(running.data) + str(listed.data)


async def test_sources_and_commits_of_a_build_are_shown(jenkins: JenkinsTools, controller: Controller) -> None:
    build_of(controller, "plain").result = "SUCCESS"
    scm = await jenkins.read("jenkins_get_build_scm", job="plain", number=1)
    assert scm.data["remotes"] == ["https://git.example/shop.git"]
    assert scm.data["revisions"] == ["a" * 40 + " origin/main"]
    of_job = await jenkins.read("jenkins_get_job_scm", job="plain")
    assert of_job.data["scm"] == "GitSCM"
    changes = await jenkins.read("jenkins_get_build_changesets", job="plain", number=1)
    assert changes.data["changes"][0]["message"] == "Fix the sum"
    assert changes.data["changes"][0]["paths"] == ["sum.py"]


async def test_queue_names_jobs_by_path_whatever_the_root_url(jenkins: JenkinsTools, controller: Controller) -> None:
    controller.root = "http://job.example:8080/some/other/root/"
    controller.schedule(controller.jobs["team/app/feature%2Fx"], {})
    found = await jenkins.read("jenkins_get_queue")
    assert [(each["id"], each["job"]) for each in found.data["items"]] == [(1, "team/app/feature%2Fx")]
    assert "quiet period" in found.text


async def test_log_is_followed_by_raw_offsets(jenkins: JenkinsTools, controller: Controller) -> None:
    build = build_of(controller, "plain")
    build.write("one", "two \u00e9")
    build.log += "half a li"
    first = await jenkins.read("jenkins_get_build_log", job="plain", number=1)
    assert first.data["lines"] == ["one", "two \u00e9"]
    assert first.data["is_growing"]
    assert first.data["next_start"] > len("".join(first.data["lines"])) + 2
    build.log += "ne\n"
    build.write("end")
    build.result = "SUCCESS"
    rest = await jenkins.read("jenkins_get_build_log", job="plain", number=1, start=first.data["next_start"])
    assert rest.data["lines"][-1] == "end"
    assert "one" not in rest.data["lines"]
    again = await jenkins.read("jenkins_get_build_log", job="plain", number=1, start=10_000)
    assert "was read from its beginning" in again.text
    assert again.data["lines"][0] == "one"


async def test_end_of_a_long_log_is_read_and_all_of_it_is_searched(
    jenkins: JenkinsTools, controller: Controller
) -> None:
    build = build_of(controller, "plain")
    build.log = "ERROR first\n" + "".join(f"step {n} {'x' * 90}\n" for n in range(20_000)) + "ERROR last\n"
    build.result = "FAILURE"
    end = await jenkins.read("jenkins_get_build_log", job="plain", number=1, tail=2)
    assert end.data["lines"][-1] == "ERROR last"
    assert len(end.data["lines"]) == 2
    assert end.data["start"] > 1_000_000
    assert f"read from offset {end.data['start']}" in end.text
    found = await jenkins.read("jenkins_get_build_log", job="plain", number=1, grep="error|no such")
    assert found.data["lines"] == ["ERROR first", "ERROR last"]
    assert "2 of 20002 lines match" in found.text


async def test_refusals_are_facts_with_a_next_step(jenkins: JenkinsTools, controller: Controller) -> None:
    missing = await jenkins.call("jenkins_get_job", {"job": "no/such"})
    assert missing.has_error("jenkins_refused")
    assert "%2F" in str(missing.data["hint"])
    jenkins.token = "wrong"
    assert "API token is wrong" in (await jenkins.call("jenkins_whoami", {})).text
    jenkins.token = controller.tokens["alice"]
    controller.fault = lambda _method, _path: Response("<html>Please wait while Jenkins is getting ready</html>", 503)
    assert "is starting or shutting down" in (await jenkins.call("jenkins_get_queue", {})).text
    controller.fault = lambda _method, _path: Response("<html><body>a login page</body></html>", 200)
    assert (await jenkins.call("jenkins_get_queue", {})).has_error("jenkins_unreachable")
    controller.fault = lambda _method, _path: Response(None, 302, {"Location": "/login"})
    assert "redirects" in (await jenkins.call("jenkins_get_queue", {})).text


async def test_token_never_leaves_a_call(jenkins: JenkinsTools, controller: Controller) -> None:
    token = controller.tokens["alice"]
    controller.fault = lambda _method, _path: Response(f"<html>bad token {token}</html>", 500)
    result = await jenkins.call("jenkins_get_queue", {})
    assert result.is_error
    assert token not in result.text + str(result.data)


async def test_credentials_of_another_call_are_refused(jenkins: JenkinsTools) -> None:
    for tool, arguments, key, seconds in (
        ("jenkins_get_queue", {}, None, 15.0),
        ("jenkins_get_job", {"job": "other"}, None, 15.0),
        ("jenkins_get_job", {"job": "plain"}, "another grant key of 32 bytes or more", 15.0),
        ("jenkins_get_job", {"job": "plain"}, None, -1.0),
    ):
        options: dict[str, Any] = {"seconds": seconds} | ({"key": key} if key else {})
        sealed = encrypt_credentials(tool, arguments, jenkins.address, jenkins.token, **options)
        result = await jenkins.client.call("jenkins_get_job", {"job": "plain"}, {CREDENTIALS_META: sealed})
        assert result.has_error("credentials_invalid"), (tool, result.text)
    none = await jenkins.client.call("jenkins_get_job", {"job": "plain"})
    assert none.has_error("not_configured")


async def test_credentials_of_each_grant_key_are_accepted(address: str, controller: Controller, tmp_path: Path) -> None:
    older = "an older grant key of 32 bytes or more"
    token, arguments = controller.tokens["alice"], {"job": "plain"}
    async with open_tool_client(settings_for(tmp_path / "none", "", tmp_path, grant_key=f"{KEY},{older}")) as client:
        for key in (KEY, older):
            sealed = encrypt_credentials("jenkins_get_job", arguments, address, token, key)
            assert not (await client.call("jenkins_get_job", arguments, {CREDENTIALS_META: sealed})).is_error


def test_names_and_links_are_translated_both_ways() -> None:
    assert job_path("team/app/feature%2Fx") == "job/team/job/app/job/feature%252Fx/"
    assert job_name("https://any.example/ci/job/team/job/app/job/feature%252Fx/12/") == "team/app/feature%2Fx"
    assert job_name("https://any.example/job/job/job/job/") == "job/job"
    assert queue_number("https://any.example/ci/queue/item/42/") == 42
    assert queue_number("https://any.example/login") is None
    for bad in ("", "a//b", "../etc", "a/./b"):
        with pytest.raises(InvalidArguments):
            job_path(bad)


async def test_plain_server_offers_jenkins_only_where_one_is_set(tmp_path: Any, address: str) -> None:
    from tool_client import create_server

    settings = settings_for(tmp_path / "none", "", tmp_path, mode="plain", grant_key=None)
    server, _ = create_server(settings)
    assert not [tool for tool in await server.list_tools() if tool.name.startswith("jenkins_")]
    given = {"jenkins_url": address, "jenkins_username": "alice", "jenkins_api_token": "11" + "a" * 32}
    server, dispatcher = create_server(
        settings_for(tmp_path / "none", "", tmp_path, mode="plain", grant_key=None, **given)
    )
    assert len([tool for tool in await server.list_tools() if tool.name.startswith("jenkins_")]) == 11
    assert dispatcher.services.jenkins is not None
