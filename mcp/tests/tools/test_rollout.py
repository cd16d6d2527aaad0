"""k8s_rollout_status follows a rollout and says what holds it up."""

from dataclasses import replace

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from fake_clock import FakeClock
from fault_proxy import FaultProxy
from pod_statuses import create_event
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, objects_at
from tests.support.waiting import eventually


async def test_rollout_status_names_the_failing_pods(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("deployments", deployment_manifest(image="web:missing", replicas=1))
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.services = replace(tool_client.dispatcher.services, clock=FakeClock())
    status = await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=600)
    assert status.data["state"] == "progressing"
    assert status.data["waited_seconds"] == 600
    assert "ImagePull" in status.text


async def test_rollout_status_reports_progress_while_waiting(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("deployments", deployment_manifest(image="web:never-ready", replicas=1))
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.services = replace(tool_client.dispatcher.services, clock=FakeClock())
    messages: list[str | None] = []

    async def record_message(done: float, total: float | None, message: str | None) -> None:
        messages.append(message)

    arguments: JsonObject = {"name": "web", "namespace": namespace.name, "wait_seconds": 30}
    await tool_client.client.call_tool_mcp("k8s_rollout_status", arguments, progress_handler=record_message)
    assert messages
    assert "replicas" in str(messages[-1]) or "controller" in str(messages[-1])


async def test_pods_that_are_not_ready_are_shown_with_the_probe_that_fails(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create("deployments", deployment_manifest(image="web:never-ready", replicas=2))
    await eventually(lambda: all_running(namespace, 2), what="two running pods")
    pods = await namespace.list_objects("pods")
    for number, pod in enumerate(pods):
        body: JsonObject = {**pod.body, "kind": "Pod"}
        await create_event(namespace, f"probe-{number}", body, "Unhealthy", "Readiness probe failed: HTTP 503")
    status = await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name)
    assert status.data["state"] == "progressing"
    lines = {str(line).split()[0]: str(line) for line in status.data["pods"]}
    assert set(lines) == {f"pod/{pod.name}" for pod in pods}
    for line in lines.values():
        assert ", not ready" in line
        assert "warning: Unhealthy Readiness probe failed: HTTP 503" in line
        assert line in status.text
    assert any(str(line).startswith("condition Available=False") for line in status.data["conditions"])


async def all_running(namespace: KubeNamespace, count: int) -> bool:
    pods = await namespace.list_objects("pods")
    return [pod.at("status", "phase") for pod in pods] == ["Running"] * count


@pytest.mark.parametrize(
    ("plural", "kind", "spelling"),
    [
        ("deployments", "Deployment", "deploy"),
        ("statefulsets", "StatefulSet", "statefulsets.apps"),
        ("daemonsets", "DaemonSet", "ds"),
    ],
)
async def test_pods_that_cannot_be_created_are_explained(
    tool_client: ToolClient, namespace: KubeNamespace, plural: str, kind: str, spelling: str
) -> None:
    quota: JsonObject = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }
    await namespace.create("resourcequotas", quota)

    async def quota_is_known() -> bool:
        return (await namespace.get("resourcequotas", "none")).at("status", "hard") is not None

    await eventually(quota_is_known)
    await namespace.create(plural, deployment_manifest(replicas=2) | {"kind": kind})

    async def is_refused() -> bool:
        return any(event.at("reason") == "FailedCreate" for event in await namespace.list_objects("events"))

    await eventually(is_refused)
    arguments: JsonObject = {"kind": spelling, "name": "web", "namespace": namespace.name}
    status = await tool_client.read("k8s_rollout_status", **arguments)
    assert status.data["state"] == "progressing"
    assert "FailedCreate" in status.text
    assert "exceeded quota: none" in status.text


async def test_conditions_say_why_a_rollout_was_given_up(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    body = deployment_manifest(image="web:never-ready", replicas=1)
    body["spec"]["progressDeadlineSeconds"] = 1  # type: ignore[index,call-overload]
    await namespace.create("deployments", body)
    await eventually(lambda: _has_pods(namespace))  # a busy controller may make the pod after the deadline
    status = await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=60)
    assert status.data["state"] == "failed"
    assert "condition Progressing=False ProgressDeadlineExceeded ReplicaSet" in status.text
    assert status.data["pod_summaries"][0]["healthy"] is False


async def _has_pods(namespace: KubeNamespace) -> bool:
    return bool(await namespace.list_objects("pods"))


async def test_a_complete_rollout_still_names_pods_that_were_killed(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment(replicas=2)
    await eventually(lambda: all_running(namespace, 2), what="two running pods")
    pod = (await namespace.list_objects("pods"))[0]
    (status,) = objects_at(pod.body, "status", "containerStatuses")
    last: JsonObject = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-29T04:00:03Z"}}
    killed: JsonObject = {"containerStatuses": [{**status, "restartCount": 3, "lastState": last}]}
    await namespace.patch("pods", pod.name, {"status": killed}, "status")
    found = await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=30)
    assert found.data["state"] == "complete"
    (line,) = found.data["pods"]
    assert str(line).startswith(f"pod/{pod.name} Running 1/1 ready, 3 restarts, app: running")
    assert "last ended: OOMKilled, exit code 137 (SIGKILL)" in found.text


async def test_events_that_cannot_be_read_are_a_note(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    await namespace.create("deployments", deployment_manifest(image="web:never-ready", replicas=1))
    fault_proxy.choose_fault = lambda _, path: "gateway_error_after" if "/events" in path else "forward"
    status = await proxied_client.read("k8s_rollout_status", name="web", namespace=namespace.name)
    assert str(status.data["notes"][0]).startswith("warning events could not be read: ")


@pytest.mark.parametrize("kind", ["deploy", "deployments", "Deployments.apps", "apps/v1/Deployment", "DEPLOYMENT"])
async def test_kinds_may_be_spelled_as_for_other_tools(
    tool_client: ToolClient, namespace: KubeNamespace, kind: str
) -> None:
    await namespace.create_deployment(replicas=1)
    arguments: JsonObject = {"kind": kind, "name": "web", "namespace": namespace.name}
    assert (await tool_client.read("k8s_rollout_status", **arguments)).text.startswith("deployment/web in ")
    assert (await tool_client.preview("k8s_rollout_restart", arguments))["summary"].startswith("Restart deployment/web")


async def test_kinds_without_a_rollout_are_refused(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    arguments: JsonObject = {"kind": "job", "name": "web", "namespace": namespace.name}
    refused = await tool_client.call("k8s_rollout_status", arguments)
    assert refused.has_error("bad_arguments")
    assert "a Job has no rollout" in refused.text
    assert "Deployment, StatefulSet, DaemonSet" in refused.text
    assert (await tool_client.call("k8s_rollout_restart__preview", arguments)).has_error("bad_arguments")
