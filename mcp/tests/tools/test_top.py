"""k8s_top_pods and k8s_top_nodes show usage with requests and limits, and say when there is no metrics API."""

from pathlib import Path

from cluster_namespace import KubeNamespace
from fault_proxy import FaultProxy
from metrics_server import metrics_server
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.kubernetes.client import KubeClient
from tests.support.waiting import eventually


def pod(name: str, memory: str) -> JsonObject:
    resources: JsonObject = {"requests": {"cpu": "250m", "memory": "64Mi"}, "limits": {"memory": memory}}
    containers: JsonObject = {"containers": [{"name": "app", "image": "web:1", "resources": resources}]}
    return {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": containers}


async def create_running(namespace: KubeNamespace, *names: str) -> None:
    for name in names:
        await namespace.create("pods", pod(name, "128Mi"))

    async def are_running() -> bool:
        pods = await namespace.list_objects("pods")
        return all(each.at("status", "phase") == "Running" for each in pods)

    await eventually(are_running, what="running pods")


async def until_measured(tool_client: ToolClient, namespace: str) -> None:
    """Wait until the API server passes requests on: it may call a new API unavailable after it has answered."""

    async def is_measured() -> bool:
        return (await tool_client.read("k8s_top_pods", namespace=namespace)).data["usage_known"] is True

    await eventually(is_measured, what="the usage")


async def test_usage_is_shown_beside_requests_and_limits(
    tool_client: ToolClient, namespace: KubeNamespace, admin_client: KubeClient, tmp_path: Path
) -> None:
    await create_running(namespace, "small", "big", "new")
    where: JsonObject = {"namespace": namespace.name}
    async with metrics_server(admin_client, tmp_path) as metrics:
        metrics.add_pod(namespace.name, "small", app=("20m", "30Mi"))
        metrics.add_pod(namespace.name, "big", app=("300m", "120Mi"))
        metrics.add_node("node-1", "1", "1Gi")
        await until_measured(tool_client, namespace.name)
        pods = await tool_client.read("k8s_top_pods", **where)
        assert [each["name"] for each in pods.data["pods"]] == ["big", "small", "new"]
        assert pods.data["pods"][0]["cpu"] == {
            "used": "300m", "request": "250m", "limit": "", "of_request": 120, "of_limit": None
        }  # fmt: skip
        assert pods.data["pods"][0]["memory"]["of_limit"] == 94
        assert "average of 15s until 2026-11-29T05:00:00Z; total CPU 320m, memory 150Mi" in pods.text
        assert f"the metrics API has nothing yet about 1 running pods: {namespace.name}/new" in pods.text
        one = await tool_client.read("k8s_top_pods", **where, limit=1, containers=True, sort_by="memory")
        assert one.data["pods"][0]["container"] == "app"
        assert "… 2 more" in one.text
        nodes = await tool_client.read("k8s_top_nodes")
        first = nodes.data["nodes"][0]
        assert (first["name"], first["status"], first["cpu"]["used"]) == ("node-1", "Ready", "1000m")
        assert first["cpu"]["used_percent"] is not None
        on_first = [each for each in await namespace.list_objects("pods") if each.at("spec", "nodeName") == "node-1"]
        assert int(first["cpu"]["requests"].removesuffix("m")) >= 250 * len(on_first)
        assert first["pods"] >= len(on_first)


async def test_missing_metrics_api_is_named_with_how_to_install_it(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await create_running(namespace, "web")
    pods = await tool_client.read("k8s_top_pods", namespace=namespace.name)
    assert (pods.data["usage_known"], pods.data["total_cpu"]) == (False, "")
    assert pods.text.startswith("the metrics API (metrics.k8s.io) is not installed")
    assert "Install metrics-server" in pods.text
    assert pods.data["pods"][0]["memory"]["limit"] == "128Mi"
    nodes = await tool_client.read("k8s_top_nodes")
    assert "Install metrics-server" in nodes.text
    assert nodes.data["nodes"][0]["cpu"]["allocatable"] != ""


async def test_pods_that_cannot_be_read_leave_the_usage(
    proxied_client: ToolClient,
    fault_proxy: FaultProxy,
    namespace: KubeNamespace,
    admin_client: KubeClient,
    tmp_path: Path,
) -> None:
    async with metrics_server(admin_client, tmp_path) as metrics:
        metrics.add_pod(namespace.name, "web", app=("20m", "30Mi"))
        await until_measured(proxied_client, namespace.name)
        fault_proxy.choose_fault = lambda _, path: "gateway_error_after" if "/v1/" in path else "forward"
        pods = await proxied_client.read("k8s_top_pods", namespace=namespace.name)
        assert "requests and limits could not be read: " in pods.text
        assert pods.data["pods"][0]["cpu"]["used"] == "20m"
        fault_proxy.choose_fault = lambda _, path: "gateway_error_after" if "/pods" in path else "forward"
        both = await proxied_client.call("k8s_top_pods", {"namespace": namespace.name})
        assert both.is_error
        fault_proxy.choose_fault = lambda _, path: "gateway_error_after" if "metrics.k8s.io" in path else "forward"
        down = await proxied_client.read("k8s_top_pods", namespace=namespace.name)
        assert "usage could not be read: " in down.text
        assert "metrics-server does not answer" in down.text
        assert "not installed" not in down.text


async def test_pods_of_a_missing_namespace_are_not_none(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    assert "No pods that run or wait" in (await tool_client.read("k8s_top_pods", namespace=namespace.name)).text
    refused = await tool_client.call("k8s_top_pods", {"namespace": f"{namespace.name}-not"})
    assert refused.has_error("not_found")
