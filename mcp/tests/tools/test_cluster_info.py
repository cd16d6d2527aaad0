"""k8s_cluster_info shows one cluster in short, and says what could not be read."""

from cluster_namespace import KubeNamespace
from fault_proxy import FaultProxy
from tool_client import ToolClient

from skyflo_tools.kubernetes.client import ApiRequest, KubeClient, json_request
from tests.support.waiting import eventually


async def test_nodes_and_their_problems_are_shown(tool_client: ToolClient, admin_client: KubeClient) -> None:
    name = "without-kubelet"
    await admin_client.send(json_request("POST", "/api/v1/nodes", {"metadata": {"name": name}}))
    await admin_client.send(
        ApiRequest(
            "PATCH", f"/api/v1/nodes/{name}", {}, '{"spec":{"unschedulable":true}}', "application/merge-patch+json"
        )
    )
    try:
        found = await tool_client.read("k8s_cluster_info")
    finally:
        await admin_client.send(ApiRequest("DELETE", f"/api/v1/nodes/{name}"))
    assert found.data["ready"] is True
    assert found.data["version"].startswith("v1.")
    assert found.data["nodes"] >= found.data["nodes_ready"] > 0
    (problem,) = [line for line in found.data["node_problems"] if name in line]
    assert problem.startswith(f"node/{name} ")
    assert problem.endswith("cordoned")
    assert found.data["storage_classes"] == []
    assert "Storage classes: none" in found.text


async def test_troubled_system_pods_are_named(
    tool_client: ToolClient, admin_client: KubeClient, namespace: KubeNamespace
) -> None:
    system = KubeNamespace(admin_client, "kube-system")
    name = f"broken-{namespace.name}"
    await system.create(
        "pods", {"metadata": {"name": name}, "spec": {"containers": [{"name": "a", "image": "a:missing"}]}}
    )

    async def is_named() -> bool:
        return f"pod/{name} Pending 0/1 ready" in (await tool_client.read("k8s_cluster_info")).text

    try:
        await eventually(is_named)
    finally:
        await system.delete("pods", name)


async def test_what_cannot_be_read_is_a_note(proxied_client: ToolClient, fault_proxy: FaultProxy) -> None:
    failing = ("/readyz", "/api/v1/nodes", "storageclasses")
    fault_proxy.choose_fault = lambda _, path: (
        "gateway_error_after" if any(part in path for part in failing) else "forward"
    )
    found = await proxied_client.read("k8s_cluster_info")
    assert (found.data["ready"], found.data["nodes"], found.data["storage_classes"]) == (None, None, None)
    assert "Storage classes: none" not in found.text
    assert "Nodes: ?" in found.text
    for what in ("readiness of the API server", "nodes", "storage classes"):
        assert f"{what} could not be read: " in found.text
