"""Objects that change while a change runs: it retries, or fails without effect."""

from collections.abc import Awaitable, Callable

import pytest
from cluster_namespace import KubeNamespace
from fault_proxy import Fault, FaultProxy, is_write
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.dry_run import PAUSES


def run_before_writes(proxy: FaultProxy, action: Callable[[int], Awaitable[None]]) -> None:
    """Run `action(n)` just before the proxy forwards the n-th write."""

    async def before_request(method: str, path: str) -> None:
        if is_write(method, path):
            await action(len(proxy.writes()))

    proxy.before_request = before_request


ARGUMENTS: dict[str, JsonObject] = {
    "k8s_scale": {"kind": "deployment", "replicas": 5},
    "k8s_patch": {"kind": "deployment", "patch": {"spec": {"replicas": 5}}},
    "k8s_delete": {"kind": "deployment"},
    "k8s_rollout_restart": {},
}
JSON_PATCH: JsonObject = {
    "kind": "deployment",
    "type": "json",
    "patch": [{"op": "replace", "path": "/spec/replicas", "value": 5}],
}


@pytest.mark.promise("fresh")
@pytest.mark.parametrize(
    ("tool", "arguments"), [*ARGUMENTS.items(), ("k8s_patch", JSON_PATCH)], ids=[*ARGUMENTS, "json_patch"]
)
async def test_concurrent_metadata_edit_is_retried(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace, tool: str, arguments: JsonObject
) -> None:
    await namespace.create_deployment()
    arguments = arguments | {"name": "web", "namespace": namespace.name}
    preview = await proxied_client.preview(tool, arguments)

    async def edit_metadata(number: int) -> None:
        if number <= 2:
            await namespace.patch("deployments", "web", {"metadata": {"annotations": {"n": str(number)}}})

    run_before_writes(fault_proxy, edit_metadata)
    result = await proxied_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert not result.is_error, result.text
    assert len(fault_proxy.writes()) >= 3


@pytest.mark.promise("fresh")
async def test_constantly_changing_object_fails_without_effect(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name, "replicas": 5}
    preview = await proxied_client.preview("k8s_scale", arguments)

    async def edit_metadata(number: int) -> None:
        await namespace.patch("deployments", "web", {"metadata": {"annotations": {"n": str(number)}}})

    run_before_writes(fault_proxy, edit_metadata)
    result = await proxied_client.call_with_grant("k8s_scale", arguments, preview["preconditions"])
    assert result.has_error("conflict")
    assert len(fault_proxy.writes()) == len(PAUSES)
    assert (await namespace.get("deployments", "web")).at("spec", "replicas") == 3


async def test_preview_waits_for_the_writes_of_controllers_after_a_creation(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    edits = iter(range(len(PAUSES) - 1))

    async def edit_metadata(method: str, _: str) -> None:
        if method == "PATCH" and (number := next(edits, None)) is not None:
            await namespace.patch("deployments", "web", {"metadata": {"annotations": {"n": str(number)}}})

    fault_proxy.before_request = edit_metadata
    target: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name}
    arguments = target | {"labels": {"tier": "shop"}}
    preview = await proxied_client.preview("k8s_label", arguments)
    assert "tier: shop" in preview["diff"]
    assert next(edits, None) is None


@pytest.mark.promise("fresh")
async def test_edit_just_before_the_write_makes_it_stale(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name, "replicas": 5}
    preview = await proxied_client.preview("k8s_scale", arguments)

    async def edit(number: int) -> None:
        await namespace.patch("deployments", "web", {"spec": {"replicas": 4}})

    run_before_writes(fault_proxy, edit)
    result = await proxied_client.call_with_grant("k8s_scale", arguments, preview["preconditions"])
    assert result.has_error("stale_preview")
    assert (await namespace.get("deployments", "web")).at("spec", "replicas") == 4


@pytest.mark.promise("unknown")
async def test_partly_applied_change_reports_a_partial_effect(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    def config_map(name: str) -> str:
        return f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{a: '1'}}\n"

    arguments: JsonObject = {"manifests": f"{config_map('one')}---\n{config_map('two')}", "namespace": namespace.name}
    preview = await proxied_client.preview("k8s_apply", arguments)

    async def create_second(number: int) -> None:
        if number == 2:
            await namespace.create_config_map("two", a="other")

    run_before_writes(fault_proxy, create_second)
    result = await proxied_client.call_with_grant("k8s_apply", arguments, preview["preconditions"])
    assert result.has_error("stale_preview", "partial") or result.has_error("field_conflict", "partial")
    assert (await namespace.get("configmaps", "two")).at("data", "a") == "other"


@pytest.mark.promise("fail-closed")
async def test_webhook_without_dry_run_support_disables_the_preview(
    proxied_client: ToolClient, fault_proxy: FaultProxy, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    arguments: JsonObject = {"kind": "deployment", "name": "web", "namespace": namespace.name, "replicas": 5}
    fault_proxy.choose_fault = _reject_dry_runs
    preview = await proxied_client.preview("k8s_scale", arguments)
    assert "does not support dry run" in str(preview["no_preview"])
    assert "+  replicas: 5" in str(preview["diff"])
    result = await proxied_client.call_with_grant("k8s_scale", arguments, preview["preconditions"])
    assert not result.is_error, result.text


def _reject_dry_runs(method: str, path: str) -> Fault:
    return "no_dry_run" if "dryRun" in path else "forward"
