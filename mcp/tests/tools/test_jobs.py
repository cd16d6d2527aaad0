"""k8s_create_job and k8s_run_pod run a command to its end and bring its output."""

import re

import pytest
from cluster_namespace import KubeNamespace
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, text_at
from skyflo_tools.tools.jobs import INSTANTIATED


def without_uids(diff: object) -> list[str]:
    """Return a diff without what the cluster generates for each new object: its uid, the name of its token volume."""
    generated = re.compile(r"-uid: |kube-api-access-|^[-+@]{2,3} ")
    return [line for line in str(diff).splitlines() if not generated.search(line)]


@pytest.mark.promise("bound")
async def test_job_of_a_cron_job_does_what_its_preview_shows(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    env: JsonObject = {"name": "DB_PASSWORD", "value": "canary-4711"}
    container: JsonObject = {"name": "app", "image": "report:1", "command": ["report"], "env": [env]}
    cron_job = await namespace.create_cron_job("report", {"containers": [container]})
    await namespace.patch("cronjobs", "report", {"spec": {"suspend": True}})
    arguments: JsonObject = {"cron_job": "report", "namespace": namespace.name, "wait_seconds": 60}
    preview = await tool_client.preview("k8s_create_job", arguments)
    assert f"cronjob/report in {namespace.name} is suspended" in str(preview["warnings"])
    result = await tool_client.call_with_grant("k8s_create_job", arguments, preview["preconditions"])
    assert not result.is_error, result.text
    assert without_uids(result.data["diff"]) == without_uids(preview["diff"])
    (job,) = await namespace.list_objects("jobs")
    assert job.name == text_at(preview, "preconditions", "pinned", "name") == dig(preview["objects"][0], "name")
    assert job.name.startswith("report-manual-")
    assert job.annotations[INSTANTIATED] == "manual"
    assert [owner["uid"] for owner in job.owners] == [cron_job.uid]
    assert objects_at(job.body, "spec", "template", "spec", "containers")[0]["command"] == ["report"]
    assert (result.data["finished"], result.data["exit_code"]) == (True, 0)
    assert result.data["output"]
    assert f"pod/{job.name}" in str(result.data["report"])
    assert "canary" not in str(preview) + result.text + str(result.data)


@pytest.mark.promise("fresh")
async def test_changed_cron_job_makes_the_preview_stale(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_cron_job("report")
    arguments: JsonObject = {"cron_job": "report", "namespace": namespace.name}
    preview = await tool_client.preview("k8s_create_job", arguments)
    job: JsonObject = {"spec": {"backoffLimit": 4}}
    await namespace.patch("cronjobs", "report", {"spec": {"jobTemplate": job}})
    result = await tool_client.call_with_grant("k8s_create_job", arguments, preview["preconditions"])
    assert result.has_error("stale_preview")
    assert await namespace.list_objects("jobs") == []


async def test_job_that_goes_on_is_not_finished(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    arguments: JsonObject = {"name": "long", "image": "web:1", "argv": ["sleep", "9"], "namespace": namespace.name}
    result = await tool_client.change("k8s_create_job", arguments | {"wait_seconds": 0})
    assert result.data["finished"] is False
    assert "it has not ended within 0 s and goes on" in result.text
    job = await namespace.get("jobs", "long")
    assert job.at("spec", "backoffLimit") == 0
    assert objects_at(job.body, "spec", "template", "spec", "containers")[0]["command"] == ["sleep", "9"]
    again = await tool_client.call("k8s_create_job__preview", arguments)
    assert again.has_error("already_exists")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "pass either cron_job or image"),
        ({"cron_job": "a", "image": "b"}, "pass either cron_job or image"),
        ({"cron_job": "a", "argv": ["b"]}, "argv can't be passed with cron_job"),
        ({"cron_job": "none"}, "not found"),
        ({"image": "web:1", "argv": "echo 1"}, "argv"),
    ],
)
async def test_arguments_that_do_not_fit_are_refused(
    tool_client: ToolClient, namespace: KubeNamespace, arguments: JsonObject, expected: str
) -> None:
    refused = await tool_client.call("k8s_create_job__preview", {"namespace": namespace.name, **arguments})
    assert refused.is_error
    assert expected in refused.text


@pytest.mark.promise("bound")
@pytest.mark.parametrize("remove", [True, False])
async def test_pod_runs_to_its_end_and_is_removed_if_asked(
    tool_client: ToolClient, namespace: KubeNamespace, remove: bool
) -> None:
    """Simulated pods do not end by themselves: the test writes the end that a node would write."""
    arguments: JsonObject = {"image": "web:1", "argv": ["echo", "hi"], "namespace": namespace.name, "remove": remove}
    preview = await tool_client.preview("k8s_run_pod", arguments)
    name = text_at(preview, "preconditions", "pinned", "name")
    ended: JsonObject = {"terminated": {"exitCode": 3, "reason": "Error"}}

    async def end_pod(_done: float, _total: float | None, message: str | None) -> None:
        if "Running" in str(message):
            (status,) = objects_at((await namespace.get("pods", name)).body, "status", "containerStatuses")
            statuses: JsonObject = {"containerStatuses": [{**status, "state": ended, "ready": False}]}
            await namespace.patch("pods", name, {"status": {"phase": "Failed", **statuses}}, "status")

    result = await tool_client.call_with_grant("k8s_run_pod", arguments, preview["preconditions"], progress=end_pod)
    assert not result.is_error, result.text
    assert without_uids(result.data["diff"]) == without_uids(preview["diff"])
    assert (result.data["finished"], result.data["exit_code"]) == (True, 3)
    assert result.data["output"]
    remaining = await namespace.list_objects("pods")
    assert [pod.name for pod in remaining if not pod.is_deleting] == ([] if remove else [name])


async def test_pod_that_goes_on_is_not_removed(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    arguments: JsonObject = {"name": "run", "image": "web:1", "namespace": namespace.name, "wait_seconds": 0}
    result = await tool_client.change("k8s_run_pod", arguments)
    assert "pod/run was not deleted, because it has not ended" in str(result.data["warnings"])
    spec = object_at((await namespace.get("pods", "run")).body, "spec")
    assert spec["restartPolicy"] == "Never"
