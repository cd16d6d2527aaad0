"""The Jenkins tools that change something: previewed, at most once per grant, and honest about lost answers."""

import pytest
from jenkins_client import JenkinsTools
from jenkins_controller import Controller, Job
from starlette.responses import Response

from skyflo_common.jsontypes import JsonObject, dig

DEPLOY: JsonObject = {"job": "deploy", "parameters": {"VERSION": "7", "ENV": "prod"}}


def posts(controller: Controller, end: str = "") -> list[str]:
    """Return the paths of the changes that the controller has received."""
    return [path for method, path in controller.requests if method == "POST" and path.endswith(end)]


@pytest.mark.promise("once", "bound")
async def test_build_is_started_once_and_followed_to_its_number(jenkins: JenkinsTools, controller: Controller) -> None:
    preview = await jenkins.preview("jenkins_trigger_build", DEPLOY)
    assert preview["summary"] == f"Start a build of deploy on {jenkins.address}"
    assert dig(preview["risk"], "level") == "medium"
    assert "+VERSION: 7\n+ENV: prod\n KEY: its default, which is hidden\n bundle.txt: no file" in str(preview["diff"])
    assert posts(controller) == []
    done = await jenkins.run("jenkins_trigger_build", DEPLOY, preview, jti="approval-1")
    assert done.data["report"] == ["build #1 has started"]
    again = await jenkins.run("jenkins_trigger_build", DEPLOY, preview, jti="approval-1")
    assert again.has_error("grant_used")
    assert controller.received == [{"VERSION": "7", "ENV": "prod"}]
    assert controller.jobs["deploy"].builds[0].values["ENV"] == "prod"


async def test_secret_and_file_parameters_are_sent_and_not_shown(jenkins: JenkinsTools, controller: Controller) -> None:
    secret: JsonObject = {"name": "KEY", "password": "canary-4711"}
    arguments: JsonObject = {
        "job": "deploy",
        "parameters": {"bundle.txt": "line one\nline two"},
        "secret_parameters": [secret],
    }
    preview = await jenkins.preview("jenkins_trigger_build", arguments)
    done = await jenkins.run("jenkins_trigger_build", arguments, preview)
    assert not done.is_error, done.text
    assert controller.received == [{"KEY": "canary-4711", "bundle.txt": "line one\nline two"}]
    assert "+KEY: (secret)" in str(preview["diff"])
    assert "+bundle.txt: a file of 17 bytes" in str(preview["diff"])
    assert "canary" not in str(preview) + done.text + str(done.data)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"job": "deploy", "parameters": {"VERSOIN": "7"}}, "has no parameter VERSOIN; it has VERSION, ENV"),
        ({"job": "deploy", "parameters": {"ENV": "live"}}, "ENV must be one of dev, prod"),
        ({"job": "deploy", "parameters": {"KEY": "hunter2"}}, "KEY is a secret parameter"),
        ({"job": "plain", "parameters": {"A": "1"}}, "has no parameter A; it has none"),
        ({"job": "off"}, "is disabled"),
        ({"job": "team"}, "is a folder"),
        ({"job": "team/../plain"}, "is no name of a job"),
    ],
)
async def test_what_jenkins_would_drop_or_refuse_is_refused_before_approval(
    jenkins: JenkinsTools, arguments: JsonObject, said: str
) -> None:
    result = await jenkins.call("jenkins_trigger_build__preview", arguments)
    assert result.has_error("bad_arguments")
    assert said in result.text


@pytest.mark.parametrize("job", ["plain", "deploy"])
async def test_request_that_is_merged_with_a_waiting_one_says_so(
    jenkins: JenkinsTools, controller: Controller, job: str
) -> None:
    """Jenkins answers 201 for a job without parameters, and 303 for one with equal parameters."""
    controller.starts_when_asked = False
    arguments: JsonObject = {"job": job, "wait_seconds": 0}
    await jenkins.change("jenkins_trigger_build", arguments)
    preview = await jenkins.preview("jenkins_trigger_build", arguments)
    assert "item 1 of this job waits already" in str(preview["warnings"])
    merged = await jenkins.run("jenkins_trigger_build", arguments, preview)
    assert "an equal request waited already as item 1: no build of its own was added" in merged.text
    assert "waits in the queue: In the quiet period" in merged.text
    assert len(controller.queue) == 1


async def test_password_needs_a_crumb_and_its_session(jenkins: JenkinsTools, controller: Controller) -> None:
    jenkins.token = controller.passwords["alice"]
    await jenkins.change("jenkins_trigger_build", {"job": "plain"})
    controller.has_crumbs = False
    await jenkins.change("jenkins_trigger_build", {"job": "plain"})
    assert len(controller.jobs["plain"].builds) == 2


@pytest.mark.promise("once")
async def test_crumb_that_a_restart_has_forgotten_is_renewed_once(
    jenkins: JenkinsTools, controller: Controller
) -> None:
    jenkins.token = controller.passwords["alice"]
    preview = await jenkins.preview("jenkins_trigger_build", {"job": "plain"})

    def restart_once(method: str, _path: str) -> None:
        if method == "POST" and len(posts(controller)) == 1:
            controller.restart()

    controller.fault = restart_once
    done = await jenkins.run("jenkins_trigger_build", {"job": "plain"}, preview)
    assert not done.is_error, done.text
    assert len(controller.jobs["plain"].builds) == 1
    assert len(posts(controller)) == 2


async def test_build_of_a_forgotten_queue_item_is_found_by_its_number(
    jenkins: JenkinsTools, controller: Controller
) -> None:
    def start_and_forget(_method: str, path: str) -> None:
        if "/queue/item/" in path and controller.queue[-1].is_waiting:
            controller.start(controller.queue[-1])
            controller.restart()

    controller.fault = start_and_forget
    done = await jenkins.change("jenkins_trigger_build", {"job": "plain"})
    assert done.data["report"] == ["build #1 has started"]


async def test_cancelled_item_has_no_build(jenkins: JenkinsTools, controller: Controller) -> None:
    def cancel(_method: str, path: str) -> None:
        if "/queue/item/" in path:
            controller.queue[-1].is_cancelled = True

    controller.fault = cancel
    done = await jenkins.change("jenkins_trigger_build", {"job": "plain"})
    assert done.data["report"] == ["item 1 was cancelled in the queue: there is no build"]


async def test_queued_request_stays_a_success_while_jenkins_restarts(
    jenkins: JenkinsTools, controller: Controller
) -> None:
    starting = Response("<html>Please wait while Jenkins is getting ready to work</html>", 503)
    controller.fault = lambda _method, path: starting if "/queue/item/" in path else None
    done = await jenkins.change("jenkins_trigger_build", {"job": "plain", "wait_seconds": 1})
    assert done.data["report"] == ["item 1 was queued; then Jenkins is starting or shutting down"]


@pytest.mark.promise("unknown")
async def test_lost_answer_is_unknown_and_never_repeated(jenkins: JenkinsTools, controller: Controller) -> None:
    preview = await jenkins.preview("jenkins_trigger_build", {"job": "plain"})
    controller.fault = lambda method, _path: "lose_reply" if method == "POST" else None
    lost = await jenkins.run("jenkins_trigger_build", {"job": "plain"}, preview)
    assert lost.has_error("jenkins_unreachable", "unknown")
    assert "not known whether Jenkins has queued the build" in lost.text
    assert "jenkins_get_queue" in str(lost.data["hint"])
    assert len(posts(controller)) == 1


async def test_lost_answer_is_found_where_the_job_has_a_request_id(
    jenkins: JenkinsTools, controller: Controller
) -> None:
    preview = await jenkins.preview("jenkins_trigger_build", {"job": "traced"})
    request_id = str(dig(preview["preconditions"], "pinned", "jenkins_request"))
    assert f"+SKYFLO_REQUEST_ID: {request_id}" in str(preview["diff"])

    def lose(method: str, _path: str) -> str | None:
        if method == "GET" and controller.queue and controller.queue[0].is_waiting:
            controller.start(controller.queue[0])
        return "lose_reply" if method == "POST" else None

    controller.fault = lose
    found = await jenkins.run("jenkins_trigger_build", {"job": "traced"}, preview)
    assert not found.is_error, found.text
    assert found.data["report"] == ["build #1 has started"]
    assert controller.received == [{"SKYFLO_REQUEST_ID": request_id}]


@pytest.mark.parametrize(("status", "effect"), [(400, "none"), (403, "none"), (409, "none"), (500, "unknown")])
async def test_refused_request_tells_its_effect(
    jenkins: JenkinsTools, controller: Controller, status: int, effect: str
) -> None:
    preview = await jenkins.preview("jenkins_trigger_build", {"job": "plain"})
    controller.fault = lambda method, _path: Response("<html>no</html>", status) if method == "POST" else None
    result = await jenkins.run("jenkins_trigger_build", {"job": "plain"}, preview)
    assert result.has_error("jenkins_refused", effect)


async def test_unreachable_controller_has_no_effect(jenkins: JenkinsTools) -> None:
    preview = await jenkins.preview("jenkins_trigger_build", {"job": "plain"})
    jenkins.address = "http://127.0.0.1:9"
    result = await jenkins.run("jenkins_trigger_build", {"job": "plain"}, preview)
    assert result.has_error("jenkins_unreachable")


@pytest.mark.promise("fresh")
async def test_changed_job_or_integration_makes_the_preview_stale(
    jenkins: JenkinsTools, controller: Controller
) -> None:
    preview = await jenkins.preview("jenkins_trigger_build", DEPLOY)
    controller.jobs["deploy"].parameters = [*controller.jobs["deploy"].parameters[:2]]
    stale = await jenkins.run("jenkins_trigger_build", DEPLOY, preview)
    assert stale.has_error("stale_preview")
    fresh = await jenkins.preview("jenkins_trigger_build", DEPLOY)
    jenkins.address = jenkins.address.replace("127.0.0.1", "localhost")
    moved = await jenkins.run("jenkins_trigger_build", DEPLOY, fresh)
    assert moved.has_error("stale_preview")
    assert "the Jenkins integration has changed" in moved.text
    assert posts(controller) == []


def running_build(controller: Controller) -> Job:
    job = controller.jobs["team/app/feature%2Fx"]
    controller.start(controller.schedule(job, {})[0])
    return job


async def test_build_gets_a_name_and_a_description(jenkins: JenkinsTools, controller: Controller) -> None:
    build = running_build(controller).builds[0]
    one: JsonObject = {"job": "team/app/feature%2Fx", "number": 1}
    preview = await jenkins.preview("jenkins_update_build", one | {"description": "Do not deploy"})
    assert "-description: \n+description: Do not deploy" in str(preview["diff"])
    await jenkins.run("jenkins_update_build", one | {"description": "Do not deploy"}, preview)
    assert build.description == "Do not deploy"
    await jenkins.change("jenkins_update_build", one | {"display_name": "v7"})
    assert (build.display_name, build.description) == ("v7", "Do not deploy")
    same = await jenkins.call("jenkins_update_build__preview", one | {"display_name": "v7"})
    assert same.has_error("no_difference")


async def test_stop_is_judged_by_the_build_and_not_by_the_answer(jenkins: JenkinsTools, controller: Controller) -> None:
    build = running_build(controller).builds[0]
    one: JsonObject = {"job": "team/app/feature%2Fx", "number": 1}
    preview = await jenkins.preview("jenkins_stop_build", one)
    assert dig(preview["risk"], "level") == "destructive"
    done = await jenkins.run("jenkins_stop_build", one, preview)
    assert done.data["report"] == ["the build has ended: ABORTED"]
    assert build.result == "ABORTED"
    assert (await jenkins.call("jenkins_stop_build__preview", one)).has_error("no_difference")
