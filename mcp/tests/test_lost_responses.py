"""Lost responses and killed processes: one write reaches the API server, and the effect is reported as unknown."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cluster_namespace import KubeNamespace
from fault_proxy import Fault, FaultProxy, forward, is_write, open_fault_proxy
from server_process import ServerProcess, running_server, server_environment
from tool_client import ToolClient, grant_claims, sign_token

from skyflo_common.jsontypes import JsonObject, canonical
from skyflo_tools.grants.claims import GRANT_META
from skyflo_tools.kubernetes.client import KubeClient
from skyflo_tools.tools.scale import SCALE
from tests.support.services import Cluster


@pytest.fixture
async def server(fault_proxy: FaultProxy, tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A tool server in its own process that reaches the cluster through the proxy."""
    async with running_server(server_environment(fault_proxy.kubeconfig, "proxied", tmp_path)) as running:
        yield running


def scale_arguments(namespace: KubeNamespace) -> JsonObject:
    return {"kind": "deployment", "name": "web", "namespace": namespace.name, "replicas": 5}


async def read_replicas(namespace: KubeNamespace) -> object:
    return (await namespace.get("deployments", "web")).at("spec", "replicas")


def fault_on_write(fault: Fault) -> Callable[[str, str], Fault]:
    def decide(method: str, path: str) -> Fault:
        return fault if is_write(method, path) else "forward"

    return decide


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("fault", ["drop_after", "gateway_error_after"])
async def test_lost_response_is_unknown_and_not_retried(
    fault_proxy: FaultProxy, proxied_client: ToolClient, namespace: KubeNamespace, fault: Fault
) -> None:
    await namespace.create_deployment()
    fault_proxy.choose_fault = fault_on_write(fault)
    preview = await proxied_client.preview("k8s_scale", scale_arguments(namespace))
    result = await proxied_client.call_with_grant(
        "k8s_scale", scale_arguments(namespace), preview["preconditions"], jti="lost"
    )
    assert result.is_error
    assert result.data["effect"] == "unknown"
    assert len(fault_proxy.writes()) == 1
    assert await read_replicas(namespace) == 5
    settled = (await proxied_client.read("grant_settle", id="lost")).data
    assert (settled["state"], settled["effect"]) == ("failed", "unknown")


@pytest.mark.promise("unknown")
async def test_hanging_change_is_unknown_at_its_deadline(
    fault_proxy: FaultProxy, proxied_client: ToolClient, namespace: KubeNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(vars(SCALE), "deadline", 1.0)
    await namespace.create_deployment()
    fault_proxy.choose_fault = fault_on_write("hang_after")
    preview = await proxied_client.preview("k8s_scale", scale_arguments(namespace))
    result = await proxied_client.call_with_grant("k8s_scale", scale_arguments(namespace), preview["preconditions"])
    assert result.has_error("deadline_passed", "unknown")
    assert len(fault_proxy.writes()) == 1


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("tool", ["k8s_delete", "k8s_patch", "k8s_apply"])
async def test_no_kind_of_change_is_retried(
    fault_proxy: FaultProxy, proxied_client: ToolClient, namespace: KubeNamespace, tool: str
) -> None:
    await namespace.create_config_map("one", a="1")
    fault_proxy.choose_fault = fault_on_write("drop_after")
    one: JsonObject = {"kind": "cm", "name": "one", "namespace": namespace.name}
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"b": "1"}}
    arguments: JsonObject = {
        "k8s_delete": one,
        "k8s_patch": one | {"patch": {"data": {"a": "2"}}},
        "k8s_apply": {"manifests": canonical(manifest), "namespace": namespace.name},
    }[tool]
    preview = await proxied_client.preview(tool, arguments)
    result = await proxied_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert result.has_error("api_unreachable", "unknown")
    evidence_arguments: JsonObject = {"tool": tool, "arguments": arguments, "preconditions": preview["preconditions"]}
    assert (await proxied_client.read("grant_evidence", **evidence_arguments)).data["evidence"] == "looks_applied"
    assert len(fault_proxy.writes()) == 1


@pytest.mark.promise("once")
async def test_api_server_audit_log_has_one_write(cluster: Cluster, tmp_path: Path, admin_client: KubeClient) -> None:
    alice = f"{cluster.context}-alice"
    if not cluster.audit_log.exists() or alice not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: audit log: TEST_KUBECONFIG is a cluster without one")
    shop = KubeNamespace(admin_client, "shop")
    name = f"audited-{secrets.token_hex(4)}"
    await shop.create_config_map(name, a="1")
    arguments: JsonObject = {"kind": "cm", "name": name, "namespace": "shop", "patch": {"data": {"a": "2"}}}
    async with open_fault_proxy(cluster.kubeconfig, alice, tmp_path) as fault_proxy:
        fault_proxy.choose_fault = fault_on_write("drop_after")
        async with (
            running_server(server_environment(fault_proxy.kubeconfig, "proxied", tmp_path)) as running,
            running.open_client() as tool_client,
        ):
            preview = await tool_client.preview("k8s_patch", arguments)
            result = await tool_client.call_with_grant(
                "k8s_patch", arguments, preview["preconditions"], jti="audited-1"
            )
    assert result.data["effect"] == "unknown"
    lines = [json.loads(line) for line in cluster.audit_log.read_text().splitlines() if name in line]
    written = [each for each in lines if each["verb"] == "patch" and "dryRun" not in each["requestURI"]]
    assert len(written) == 1
    assert written[0]["user"]["username"] == "alice"
    assert "approval/audited-1" in written[0]["userAgent"]
    await shop.delete("configmaps", name)


@pytest.mark.promise("once", "unknown")
async def test_killed_server_leaves_the_grant_started(
    fault_proxy: FaultProxy, server: ServerProcess, namespace: KubeNamespace, tmp_path: Path
) -> None:
    await namespace.create_deployment()
    fault_proxy.choose_fault = fault_on_write("hang_before")
    async with server.open_client() as tool_client:
        preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    token = sign_token(grant_claims("k8s_scale", scale_arguments(namespace), preview["preconditions"], jti="killed"))

    async def approve() -> None:
        async with server.open_client() as tool_client:
            await tool_client.call("k8s_scale", scale_arguments(namespace), {GRANT_META: token})

    task = asyncio.create_task(approve())
    await fault_proxy.hanging.wait()
    server.process.kill()
    await asyncio.gather(task, return_exceptions=True)  # the client may fail in any way when the server is dead
    fault_proxy.choose_fault = forward
    async with (
        running_server(server_environment(fault_proxy.kubeconfig, "proxied", tmp_path)) as restarted,
        restarted.open_client() as tool_client,
    ):
        settled = (await tool_client.read("grant_settle", id="killed")).data
        assert settled == {"state": "started", "effect": "unknown", "result": None}
        used = await tool_client.call("k8s_scale", scale_arguments(namespace), {GRANT_META: token})
        assert used.has_error("grant_used")
        evidence_arguments: JsonObject = {
            "tool": "k8s_scale",
            "arguments": scale_arguments(namespace),
            "preconditions": preview["preconditions"],
        }
        assert (await tool_client.read("grant_evidence", **evidence_arguments)).data["evidence"] == "looks_not_applied"
    assert await read_replicas(namespace) == 3
    assert len(fault_proxy.writes()) == 1
