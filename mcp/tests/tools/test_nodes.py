"""k8s_cordon, k8s_uncordon and k8s_drain: a drain evicts what budgets allow, and reports what happened to each pod."""

from collections.abc import AsyncIterator

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from fake_clock import FakeClock, set_clock
from fault_proxy import FaultProxy
from simulated_node import on_node, open_node, read_node, wait_for_pods
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, dig, object_at, text_at, without
from skyflo_tools.kubernetes.client import KubeClient
from tests.support.waiting import eventually


@pytest.fixture
async def node(admin_client: KubeClient) -> AsyncIterator[str]:
    async with open_node(admin_client) as name:
        yield name


async def create_budget(namespace: KubeNamespace, name: str, allowed: int, **selector: str) -> None:
    """Create a disruption budget, and wait until its controller allows as many evictions as wanted."""
    spec: JsonObject = {"maxUnavailable": allowed, "selector": {"matchLabels": {**selector}}}
    await namespace.create("poddisruptionbudgets", {"metadata": {"name": name}, "spec": spec})

    async def is_counted() -> bool:
        budget = await namespace.get("poddisruptionbudgets", name)
        return budget.at("status", "disruptionsAllowed") == allowed and budget.at("status", "expectedPods") != 0

    await eventually(is_counted, what="a counted budget")


@pytest.mark.promise("bound")
async def test_cordon_and_uncordon_do_what_their_previews_show(
    tool_client: ToolClient, admin_client: KubeClient, node: str
) -> None:
    for tool, sign, expected in (("k8s_cordon", "+", True), ("k8s_uncordon", "-", None)):
        preview = await tool_client.preview(tool, {"name": node})
        assert f"{sign}  unschedulable: true" in str(preview["diff"])
        assert text_at(preview, "risk", "level") == "high"
        result = await tool_client.call_with_grant(tool, {"name": node}, preview["preconditions"])
        assert result.data["diff"] == preview["diff"]
        assert (await read_node(admin_client, node)).at("spec", "unschedulable") is expected
        assert (await tool_client.call(f"{tool}__preview", {"name": node})).has_error("no_difference")


@pytest.mark.promise("bound")
async def test_drain_evicts_the_pods_that_its_preview_lists(
    tool_client: ToolClient, namespace: KubeNamespace, admin_client: KubeClient, node: str
) -> None:
    daemon = deployment_manifest("daemon") | {"kind": "DaemonSet"}
    daemon["spec"] = without(object_at(daemon, "spec"), ("replicas",))
    await namespace.create("daemonsets", on_node(daemon, node))
    await namespace.create("deployments", on_node(deployment_manifest(replicas=3), node))
    pods = await wait_for_pods(namespace, node, 4)
    web = sorted(pod.name for pod in pods if pod.labels["app"] == "web")
    preview = await tool_client.preview("k8s_drain", {"name": node})
    assert preview["summary"] == f"Drain node/{node}: cordon it and evict 3 pods"
    evicted = [f"-evict pod/{name} in {namespace.name}" for name in web]
    assert [line for line in str(preview["diff"]).splitlines() if "evict" in line] == evicted
    assert "+  unschedulable: true" in str(preview["diff"])
    assert [dig(each, "name") for each in preview["objects"]] == [node, *web]
    assert "stays: daemonset/daemon would start it again" in str(preview["warnings"])
    assert object_at(preview, "risk") == {"level": "destructive", "reason": "evicts 3 pods from the node"}
    messages: list[str | None] = []

    async def record(done: float, total: float | None, message: str | None) -> None:
        messages.append(message)

    result = await tool_client.call_with_grant("k8s_drain", {"name": node}, preview["preconditions"], progress=record)
    assert not result.is_error, result.text
    assert result.data["diff"] == preview["diff"]
    assert result.data["report"] == [f"evicted pod/{name} in {namespace.name}" for name in web]
    assert f"evicted pod/{web[0]} in {namespace.name}" in messages
    left = [pod for pod in await namespace.list_objects("pods") if pod.at("spec", "nodeName") == node]
    assert [pod.labels["app"] for pod in left] == ["daemon"]
    assert (await read_node(admin_client, node)).at("spec", "unschedulable") is True


@pytest.mark.promise("bound", "bounded")
async def test_drain_says_which_pods_a_budget_held_up(
    tool_client: ToolClient, namespace: KubeNamespace, node: str
) -> None:
    await namespace.create("deployments", on_node(deployment_manifest(replicas=2), node))
    await namespace.create("deployments", on_node(deployment_manifest("db", replicas=1), node))
    pods = await wait_for_pods(namespace, node, 3)
    await create_budget(namespace, "keep-db", 0, app="db")
    arguments: JsonObject = {"name": node, "timeout_seconds": 4}
    preview = await tool_client.preview("k8s_drain", arguments)
    assert f"budget keep-db in {namespace.name} allows 0 evictions now, 1 of its pods" in str(preview["warnings"])
    assert tool_client.dispatcher is not None
    set_clock(tool_client.dispatcher, FakeClock())
    result = await tool_client.call_with_grant("k8s_drain", arguments, preview["preconditions"])
    assert result.has_error("drain_incomplete", "partial")
    for pod in pods:
        name, is_held = f"pod/{pod.name} in {namespace.name}", pod.labels["app"] == "db"
        assert (f"evicted {name}" in result.text) != is_held, name
        assert (f"{name}: Cannot evict pod as it would violate the pod's disruption budget" in result.text) == is_held
    assert "keep-db" in result.text


async def test_drain_waits_until_a_budget_allows_it(
    tool_client: ToolClient, namespace: KubeNamespace, node: str
) -> None:
    await namespace.create("deployments", on_node(deployment_manifest(replicas=1), node))
    (pod,) = await wait_for_pods(namespace, node, 1)
    await create_budget(namespace, "one", 0, app="web")
    arguments: JsonObject = {"name": node, "timeout_seconds": 120}
    preview = await tool_client.preview("k8s_drain", arguments)
    messages: list[str] = []

    async def widen_budget(_done: float, _total: float | None, message: str | None) -> None:
        if not messages:
            await namespace.patch("poddisruptionbudgets", "one", {"spec": {"maxUnavailable": 1}})
        messages.append(str(message))

    preconditions = preview["preconditions"]
    result = await tool_client.call_with_grant("k8s_drain", arguments, preconditions, progress=widen_budget)
    assert not result.is_error, result.text
    assert f"pod/{pod.name} in {namespace.name} is held up: Cannot evict pod" in messages[0]
    assert result.data["report"] == [f"evicted pod/{pod.name} in {namespace.name}"]


@pytest.mark.promise("fresh")
async def test_new_pod_makes_a_drain_stale(tool_client: ToolClient, namespace: KubeNamespace, node: str) -> None:
    await namespace.create("deployments", on_node(deployment_manifest(replicas=1), node))
    await wait_for_pods(namespace, node, 1)
    preview = await tool_client.preview("k8s_drain", {"name": node})
    await namespace.patch("deployments", "web", {"spec": {"replicas": 2}})
    pods = await wait_for_pods(namespace, node, 2)
    result = await tool_client.call_with_grant("k8s_drain", {"name": node}, preview["preconditions"])
    assert result.has_error("stale_preview")
    assert [pod.uid for pod in await wait_for_pods(namespace, node, 2)] == [pod.uid for pod in pods]


async def test_drain_asks_before_it_evicts_what_is_lost(
    tool_client: ToolClient, namespace: KubeNamespace, node: str
) -> None:
    body = on_node({"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "web:1"}]}}}}, node)
    pod = object_at(body, "spec", "template", "spec") | {"volumes": [{"name": "cache", "emptyDir": {}}]}
    await namespace.create("pods", {"metadata": {"name": "alone"}, "spec": pod})
    await wait_for_pods(namespace, node, 1)
    for added, hint in (({}, "force=true"), ({"force": True}, "delete_emptydir_data=true")):
        refused = await tool_client.call("k8s_drain__preview", {"name": node, **added})
        assert refused.has_error("bad_arguments")
        assert f"pod/alone in {namespace.name}" in refused.text
        assert hint in refused.text
    wanted: JsonObject = {"name": node, "force": True, "delete_emptydir_data": True}
    warnings = str((await tool_client.preview("k8s_drain", wanted))["warnings"])
    assert "no controller starts these pods again: pod/alone" in warnings
    assert "emptyDir volumes are lost with these pods: pod/alone" in warnings


async def test_pod_under_two_budgets_stays(tool_client: ToolClient, namespace: KubeNamespace, node: str) -> None:
    await namespace.create("deployments", on_node(deployment_manifest(replicas=1), node))
    await wait_for_pods(namespace, node, 1)
    for name in ("one", "two"):
        spec: JsonObject = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web"}}}
        await namespace.create("poddisruptionbudgets", {"metadata": {"name": name}, "spec": spec})
    preview = await tool_client.preview("k8s_drain", {"name": node})
    assert str(preview["summary"]).endswith("cordon it and evict 0 pods")
    assert "more than one budget covers it (one, two)" in str(preview["warnings"])


@pytest.mark.promise("unknown", "once")
async def test_eviction_whose_response_is_lost_is_unknown_and_not_repeated(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace, node: str
) -> None:
    await namespace.create("deployments", on_node(deployment_manifest(replicas=2), node))
    await wait_for_pods(namespace, node, 2)
    preview = await proxied_client.preview("k8s_drain", {"name": node})
    fault_proxy.choose_fault = lambda _, path: "drop_after" if path.endswith("/eviction") else "forward"
    result = await proxied_client.call_with_grant("k8s_drain", {"name": node}, preview["preconditions"])
    assert result.has_error("api_unreachable", "unknown")
    assert len([path for _, path in fault_proxy.requests if path.endswith("/eviction")]) == 1


async def test_missing_node_is_named(tool_client: ToolClient) -> None:
    for tool in ("k8s_cordon", "k8s_drain"):
        assert (await tool_client.call(f"{tool}__preview", {"name": "no-such-node"})).has_error("not_found")
