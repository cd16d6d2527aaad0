"""k8s_wait waits for a state of an object, and says what holds it up."""

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from fake_clock import FakeClock, set_clock
from fault_proxy import Fault, FaultProxy
from tool_client import CallResult, ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue
from tests.support.waiting import eventually


def job(name: str, image: str, **spec: JsonValue) -> JsonObject:
    pod: JsonObject = {"restartPolicy": "Never", "containers": [{"name": "app", "image": image}]}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}, **spec}}


async def wait(client: ToolClient, namespace: KubeNamespace, kind: str, name: str, **more: JsonValue) -> CallResult:
    return await client.read("k8s_wait", kind=kind, name=name, namespace=namespace.name, **more)


def stop_time(client: ToolClient) -> None:
    """Let waits time out at once."""
    assert client.dispatcher is not None
    set_clock(client.dispatcher, FakeClock())


async def test_states_that_come_are_awaited(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=2)
    await namespace.create("jobs", job("once", "job:1"))
    rollout = await wait(tool_client, namespace, "deploy", "web", until="rolled_out")
    assert rollout.data["outcome"] == "met", rollout.text
    assert rollout.text.startswith(f"deployment/web in {namespace.name}: met after ")
    available = await wait(tool_client, namespace, "deploy", "web", until="condition", condition="Available")
    assert str(available.data["message"]).startswith("Available=True MinimumReplicasAvailable")
    ended = await wait(tool_client, namespace, "job", "once", until="job_ended")
    assert ended.data["message"] == "complete, 1 of 1 pods succeeded, 0 active, 0 failed"
    await namespace.delete("deployments", "web")
    gone = await wait(tool_client, namespace, "deploy", "web", until="deleted")
    assert gone.data["outcome"] == "met"


async def test_timeout_names_the_pods_that_hold_it_up(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("deployments", deployment_manifest(image="web:missing", replicas=1))

    async def is_failing() -> bool:
        found = await wait(tool_client, namespace, "deploy", "web", until="rolled_out", wait_seconds=0)
        return "ImagePullBackOff" in found.text or "ErrImagePull" in found.text

    await eventually(is_failing)
    stop_time(tool_client)
    late = await wait(tool_client, namespace, "deploy", "web", until="rolled_out", wait_seconds=3)
    assert (late.data["outcome"], late.data["waited_seconds"]) == ("timed_out", 3)
    assert "not met yet after 3 s: 0 of 1 updated replicas available" in late.text
    assert late.data["pod_summaries"][0]["healthy"] is False
    pod = (await namespace.list_objects("pods"))[0]
    alone = await wait(tool_client, namespace, "pod", pod.name, until="condition", wait_seconds=1)
    assert alone.data["related"][0].startswith(f"pod/{pod.name} Pending 0/1 ready")
    assert alone.data["pod_summaries"][0]["name"] == pod.name


async def test_failed_job_ends_the_wait_with_its_reason(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("jobs", job("never", "job:crash", activeDeadlineSeconds=1))
    await namespace.create("jobs", job("later", "job:1", suspend=True))
    failed = await wait(tool_client, namespace, "job", "never", until="job_ended")
    assert failed.data["outcome"] == "failed"
    assert "can't be met as it is after" in failed.text
    assert "the Job failed: DeadlineExceeded" in failed.text
    suspended = await wait(tool_client, namespace, "job", "later", until="job_ended")
    assert "the Job is suspended" in suspended.text


async def test_deletion_waits_for_finalizers_which_are_named(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("configmaps", {"metadata": {"name": "kept", "finalizers": ["example.org/keep"]}})
    stop_time(tool_client)
    standing = await wait(tool_client, namespace, "cm", "kept", until="deleted", wait_seconds=1)
    assert standing.data["message"] == "it exists, and its deletion was not requested"
    await namespace.delete("configmaps", "kept")
    held = await wait(tool_client, namespace, "cm", "kept", until="deleted", wait_seconds=1)
    assert (held.data["outcome"], held.data["waited_seconds"]) == ("timed_out", 1)
    assert "waits for the finalizers example.org/keep" in held.text
    await namespace.patch("configmaps", "kept", {"metadata": {"finalizers": None}})
    gone = await wait(tool_client, namespace, "cm", "kept", until="deleted")
    assert gone.data["message"] == "it does not exist"


async def test_absence_is_told_only_of_a_namespace_that_exists(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    arguments: JsonObject = {"kind": "cm", "name": "none", "namespace": f"{namespace.name}-not"}
    assert (await tool_client.call("k8s_wait", {**arguments, "until": "deleted"})).has_error("not_found")
    arguments["namespace"] = namespace.name
    assert (await tool_client.call("k8s_wait", {**arguments, "until": "condition"})).has_error("not_found")


@pytest.mark.parametrize(
    ("kind", "until", "problem"), [("pod", "rolled_out", "a Pod has no rollout"), ("cj", "job_ended", "is no Job")]
)
async def test_goals_that_a_kind_does_not_have_are_refused(
    tool_client: ToolClient, kind: str, until: str, problem: str
) -> None:
    refused = await tool_client.call("k8s_wait", {"kind": kind, "name": "web", "until": until})
    assert refused.has_error("bad_arguments")
    assert problem in refused.text


async def test_wait_outlasts_an_api_server_that_is_busy(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    await namespace.create_config_map("still", a="b")
    stop_time(proxied_client)
    reads: list[str] = []

    def fail_later_reads(_: str, path: str) -> Fault:
        reads.extend([path] if "/configmaps/still" in path else [])
        return "gateway_error_after" if 1 < len(reads) < 4 and "/configmaps/still" in path else "forward"

    fault_proxy.choose_fault = fail_later_reads
    late = await wait(proxied_client, namespace, "cm", "still", until="deleted", wait_seconds=5)
    assert (late.data["outcome"], len(reads)) == ("timed_out", 6)
    assert late.data["message"] == "it exists, and its deletion was not requested"


async def test_pause_lasts_as_long_as_asked(tool_client: ToolClient) -> None:
    clock = FakeClock()
    assert tool_client.dispatcher is not None
    set_clock(tool_client.dispatcher, clock)
    before = clock.monotonic()
    assert (await tool_client.read("wait_for_x_seconds", seconds=25)).data == {"waited_seconds": 25}
    assert clock.monotonic() - before == 25
    assert (await tool_client.call("wait_for_x_seconds", {"seconds": 601})).has_error("bad_arguments")
