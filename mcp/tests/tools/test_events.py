"""k8s_events lists events, the newest first."""

import asyncio
from datetime import UTC, datetime

import pytest
from cluster_namespace import KubeNamespace
from pod_statuses import create_event
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes import events as kubernetes_events

POD: JsonObject = {"kind": "Pod", "metadata": {"name": "p", "uid": "u1"}}
OLD_EVENTS = 2100


async def test_events_are_listed_newest_first(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=2)
    await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=30)
    everything = await tool_client.read("k8s_events", namespace=namespace.name)
    times = [event["last"] for event in everything.data["events"]]
    assert times == sorted(times)
    only = await tool_client.read("k8s_events", namespace=namespace.name, kind="deploy", name="web", limit=1)
    assert [event["object"] for event in only.data["events"]] == ["deployment/web"]
    none = await tool_client.read("k8s_events", namespace=namespace.name, name="a,b=c")
    assert none.text.startswith("No events")


async def test_newest_event_is_found_behind_thousands_of_older_ones(
    tool_client: ToolClient, namespace: KubeNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def create(numbers: range) -> None:
        for number in numbers:
            await create_event(namespace, f"a{number:05}", POD, "Pulled", "an old event", type="Normal")

    await asyncio.gather(*(create(range(start, OLD_EVENTS, 20)) for start in range(20)))
    now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    newest: JsonObject = {"eventTime": now, "reportingComponent": "c", "reportingInstance": "i", "action": "Mount"}
    await create_event(
        namespace, "zzz", POD, "FailedMount", "the newest", firstTimestamp=None, lastTimestamp=None, source={}, **newest
    )
    found = await tool_client.read("k8s_events", namespace=namespace.name, limit=5)
    assert found.data["events"][-1]["message"] == "the newest"
    assert next(line for line in found.text.splitlines() if line.startswith("20")).endswith("p: the newest")
    assert found.data["left_out"] == OLD_EVENTS + 1 - 5
    assert f"… {OLD_EVENTS + 1 - 5} older events" in found.text

    monkeypatch.setattr("skyflo_tools.tools.events.MAX_EVENTS_READ", 500)
    assert kubernetes_events.MAX_EVENTS_READ > OLD_EVENTS
    part = await tool_client.read("k8s_events", namespace=namespace.name, limit=5)
    assert part.data["unread"] == "only the first 500 events by name were read"
    assert "newer events may be missing" in part.text
    nothing = await tool_client.read("k8s_events", namespace=namespace.name, type="Normal", name="q")
    assert nothing.text.startswith("No events (they are kept")


async def test_a_long_message_keeps_its_cause(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_event(namespace, "one", POD, "Failed", f"failed to pull: {'rpc error: ' * 400}no such host")
    found = await tool_client.read("k8s_events", namespace=namespace.name)
    assert found.text.endswith("no such host")
    assert "characters left out]…" in found.text


async def test_warnings_come_with_the_present_state_of_their_pods(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    pod: JsonObject = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "here"},
        "spec": {"schedulerName": "none", "containers": [{"name": "app", "image": "web:1"}]},
    }
    created = await namespace.create("pods", pod)
    await create_event(namespace, "one", created.body, "BackOff", "Back-off restarting")
    await create_event(namespace, "two", POD, "BackOff", "Back-off restarting")
    found = await tool_client.read("k8s_events", namespace=namespace.name, type="Warning")
    place = namespace.name
    assert sorted(found.data["pods"]) == [f"{place}/pod/here Pending 0/1 ready", f"{place}/pod/p is gone"]
    assert f"now: {place}/pod/p is gone" in found.text


async def test_events_about_a_kind_that_is_gone_can_be_listed(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await create_event(namespace, "one", {"kind": "Gizmo", "metadata": {"name": "g", "uid": "u2"}}, "Failed", "broke")
    found = await tool_client.read("k8s_events", namespace=namespace.name, kind="Gizmo")
    assert [event["object"] for event in found.data["events"]] == ["gizmo/g"]
    assert (await tool_client.call("k8s_events", {"kind": "gizmo"})).has_error("unknown_kind")
