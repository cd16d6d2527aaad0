"""k8s_apply: ownership of fields."""

from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, canonical, dig


async def preview_and_change(
    tool_client: ToolClient, tool: str, arguments: JsonObject
) -> tuple[JsonObject, JsonObject]:
    """Preview and execute a change. Returns the preview and the structured content of the result."""
    preview = await tool_client.preview(tool, arguments)
    result = await tool_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert not result.is_error, result.text
    return preview, result.data


async def test_conflict_names_the_manager_and_force_raises_the_risk(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    await namespace.patch("deployments", "web", {"spec": {"replicas": 6}}, manager="autopilot")
    arguments: JsonObject = {"manifests": canonical(deployment_manifest(replicas=2)), "namespace": namespace.name}
    refused = await tool_client.call("k8s_apply__preview", arguments)
    assert refused.has_error("field_conflict")
    assert "autopilot" in refused.text
    forced = arguments | {"force": True}
    preview, _ = await preview_and_change(tool_client, "k8s_apply", forced)
    assert dig(preview, "risk", "level") == "high"
    assert any("autopilot" in str(warning) for warning in preview["warnings"])
    assert (await namespace.get("deployments", "web")).at("spec", "replicas") == 2


async def test_second_apply_needs_no_force(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    """The field manager owns what it created, so a second apply has no conflict and prunes removed fields."""
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    for data in ({"a": "1", "b": "1"}, {"a": "2"}):
        body = canonical(manifest | {"data": data})
        await tool_client.change("k8s_apply", {"manifests": body, "namespace": namespace.name})
    assert (await namespace.get("configmaps", "settings")).at("data") == {"a": "2"}
