"""k8s_describe shows an object and related objects."""

import re

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from fault_proxy import Fault, FaultProxy
from pod_statuses import create_event
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.rendering import TEXT_BYTES

LONG_ENV: JsonValue = [{"name": f"SETTING_{number:03}", "value": "an ordinary value"} for number in range(300)]


async def test_describe_shows_conditions_children_owners_and_events(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment(replicas=1)
    await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=30)
    described = await tool_client.read("k8s_describe", kind="deploy", name="web", namespace=namespace.name)
    assert described.text.index("Conditions:") < described.text.index("Children:") < described.text.index("Object:")
    assert any(str(child).startswith("pod/web-") for child in described.data["children"])
    assert any(event["reason"] == "ScalingReplicaSet" for event in described.data["events"])
    pods = await tool_client.read("k8s_get", kind="pods", namespace=namespace.name)
    pod = await tool_client.read("k8s_describe", kind="pod", name=pods.data["rows"][0][0], namespace=namespace.name)
    assert [str(owner).partition("/")[0] for owner in pod.data["owners"]] == ["replicaset", "deployment"]


async def create_killed_pod(namespace: KubeNamespace, name: str = "oom") -> JsonObject:
    """Create a pod with a long spec that was killed for memory."""
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"schedulerName": "none", "containers": [{"name": "app", "image": "web:1", "env": LONG_ENV}]},
    }
    created = await namespace.create("pods", pod)
    last: JsonObject = {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-11-29T04:00:03Z"}
    status: JsonObject = {
        "name": "app",
        "image": "web:1",
        "imageID": "",
        "ready": False,
        "restartCount": 7,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
        "lastState": {"terminated": last},
    }
    await namespace.patch("pods", name, {"status": {"phase": "Running", "containerStatuses": [status]}}, "status")
    return created.body


async def test_state_of_a_pod_precedes_its_long_spec(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_killed_pod(namespace)
    described = await tool_client.read("k8s_describe", kind="pod", name="oom", namespace=namespace.name)
    state = described.text.splitlines()[1:3]
    assert state[0] == "State: pod/oom Running 0/1 ready, 7 restarts:"
    assert state[1].startswith("  app: CrashLoopBackOff back-off 5m0s; last ended: OOMKilled, exit code 137 (SIGKILL)")
    assert described.data["pod"]["containers"][0]["last_state"].startswith("OOMKilled, exit code 137")
    assert "… shortened: spec.containers[0].env (300 entries)" in described.text
    shown = described.text.partition("\nObject:\n")[2]
    assert "exitCode: 137" in shown
    assert "phase: Running" in shown


async def test_pod_with_many_failing_containers_fits_and_says_what_is_left_out(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    names = [f"app{number}" for number in range(40)]
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "many"},
        "spec": {"schedulerName": "none", "containers": [{"name": name, "image": "web:1"} for name in names]},
    }
    created = await namespace.create("pods", pod)
    long = f"{'back-off restarting ' * 100}because of the last word"
    statuses: JsonValue = [
        {
            "name": name,
            "image": "web:1",
            "imageID": "",
            "ready": False,
            "restartCount": 2,
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": long}},
        }
        for name in names
    ]
    await namespace.patch("pods", "many", {"status": {"phase": "Running", "containerStatuses": statuses}}, "status")
    await create_event(namespace, "one", created.body, "BackOff", f"{'again and ' * 300}the cause")
    described = await tool_client.read("k8s_describe", kind="pod", name="many", namespace=namespace.name)
    assert len(described.text.encode()) < TEXT_BYTES + 2000
    assert "because of the last word; 2 restarts" in described.text
    assert re.search(r"^… \d+ more lines, k8s_get and k8s_events show all$", described.text, re.MULTILINE)
    assert "the cause" in described.text.partition("Events (newest first):")[2].splitlines()[1]


async def test_owner_of_a_kind_that_is_gone_is_marked(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    owner: JsonObject = {"apiVersion": "legacy.example.org/v1alpha1", "kind": "Thing", "name": "t1", "uid": "1-2-3"}
    gone: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "name": "none", "uid": "1-2-4"}
    body: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "ownerReferences": [owner | {"controller": True}, gone]},
        "data": {"a": "1"},
    }
    await namespace.create("configmaps", body)
    described = await tool_client.read("k8s_describe", kind="cm", name="owned", namespace=namespace.name)
    assert described.data["owners"] == [
        "thing/t1 (its kind legacy.example.org/v1alpha1/Thing is not served)",
        "configmap/none (another owner)",
    ]
    assert "a: '1'" in described.text


async def test_what_is_around_an_object_may_fail_alone(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment(replicas=1)

    def fail_side_reads(_method: str, path: str) -> Fault:
        return "gateway_error_after" if "/events" in path or "/replicasets" in path else "forward"

    fault_proxy.choose_fault = fail_side_reads
    described = await proxied_client.read("k8s_describe", kind="deploy", name="web", namespace=namespace.name)
    notes = [str(note).partition(":")[0] for note in described.data["notes"]]
    assert notes == [
        "its replicasets could not be read",
        "warning events could not be read",
        "events could not be read",
    ]
    assert "Note: events could not be read: " in described.text
    assert described.data["object"]["metadata"]["name"] == "web"


async def test_side_read_that_hangs_is_given_up(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await namespace.create_config_map("settings", a="1")
    monkeypatch.setattr("skyflo_tools.side_reads.SIDE_SECONDS", 0.2)
    fault_proxy.choose_fault = lambda _, path: "hang_before" if "/events" in path else "forward"
    described = await proxied_client.read("k8s_describe", kind="cm", name="settings", namespace=namespace.name)
    assert described.data["notes"] == ["events could not be read: no response within 0 s"]
    assert "a: '1'" in described.text


async def test_children_in_trouble_come_before_healthy_ones(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    service: JsonObject = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        "spec": {"selector": {"team": "shop"}, "ports": [{"port": 80}]},
    }
    await namespace.create("services", service)
    many = deployment_manifest(replicas=25)
    many["spec"]["template"]["metadata"]["labels"]["team"] = "shop"  # type: ignore[index,call-overload]
    await namespace.create("deployments", many)
    await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=30)
    failing = await create_killed_pod(namespace, "zz-oom")
    await namespace.patch("pods", "zz-oom", {"metadata": {"labels": {"team": "shop"}}})
    await create_event(namespace, "one", failing, "BackOff", "Back-off restarting failed container")
    described = await tool_client.read("k8s_describe", kind="svc", name="web", namespace=namespace.name)
    assert str(described.data["children"][0]).startswith("pod/zz-oom Running 0/1 ready, 7 restarts, app: Crash")
    assert "warning: BackOff Back-off restarting failed container" in described.data["children"][0]
    assert described.data["children"][-1] == "… 6 more pods, 0 of them not ready or restarted before"


async def test_events_of_an_earlier_object_of_the_same_name_are_left_out(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    pod = await create_killed_pod(namespace)
    await create_event(namespace, "new", pod, "BackOff", "about this pod")
    earlier: JsonObject = {"kind": "Pod", "metadata": {"name": "oom", "uid": "another"}}
    await create_event(namespace, "old", earlier, "Failed", "about an earlier pod")
    described = await tool_client.read("k8s_describe", kind="pod", name="oom", namespace=namespace.name)
    assert [event["message"] for event in described.data["events"]] == ["about this pod"]
    assert "Note: 1 events are about an earlier object of this name, k8s_events shows them" in described.text
