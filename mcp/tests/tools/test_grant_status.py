"""grant_settle and grant_evidence find out how a change ended."""

import pytest
from cluster_namespace import KubeNamespace
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, canonical


def scale_arguments(namespace: KubeNamespace, replicas: int = 5) -> JsonObject:
    return {"kind": "deployment", "name": "web", "namespace": namespace.name, "replicas": replicas}


async def read_replicas(namespace: KubeNamespace) -> object:
    return (await namespace.get("deployments", "web")).at("spec", "replicas")


@pytest.mark.promise("once", "unknown")
async def test_settle_returns_the_final_state(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    never = await tool_client.read("grant_settle", id="approval-never")
    assert never.data == {"state": "never_ran", "effect": "none", "result": None}
    late = await tool_client.call_with_grant(
        "k8s_scale", scale_arguments(namespace), preview["preconditions"], jti="approval-never"
    )
    assert late.has_error("grant_revoked")
    assert await read_replicas(namespace) == 3
    done = await tool_client.call_with_grant(
        "k8s_scale", scale_arguments(namespace), preview["preconditions"], jti="approval-done"
    )
    settled = await tool_client.read("grant_settle", id="approval-done")
    assert settled.data == {
        "state": "succeeded",
        "effect": "done",
        "result": {"text": done.text, "structuredContent": done.data},
    }
    stale = await tool_client.call_with_grant(
        "k8s_scale", scale_arguments(namespace), preview["preconditions"], jti="approval-stale"
    )
    assert stale.has_error("stale_preview")
    failed = (await tool_client.read("grant_settle", id="approval-stale")).data
    assert (failed["state"], failed["effect"]) == ("failed", "none")


@pytest.mark.promise("unknown")
async def test_evidence_compares_live_objects_with_the_preview(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace))
    evidence_arguments: JsonObject = {
        "tool": "k8s_scale",
        "arguments": scale_arguments(namespace),
        "preconditions": preview["preconditions"],
    }

    async def seen() -> object:
        return (await tool_client.read("grant_evidence", **evidence_arguments)).data["evidence"]

    assert await seen() == "looks_not_applied"
    await namespace.patch("deployments", "web", {"spec": {"replicas": 5}})
    assert await seen() == "looks_applied"
    await namespace.patch("deployments", "web", {"spec": {"replicas": 4}})
    assert await seen() == "cannot_tell"
    await namespace.delete("deployments", "web")
    assert await seen() == "cannot_tell"


@pytest.mark.promise("unknown")
@pytest.mark.parametrize("tool", ["k8s_delete", "k8s_apply"])
async def test_evidence_of_creation_and_deletion(tool_client: ToolClient, namespace: KubeNamespace, tool: str) -> None:
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}
    if tool == "k8s_delete":
        await namespace.create_config_map("one", a="1")
    arguments: JsonObject = {
        "k8s_delete": {"kind": "cm", "name": "one", "namespace": namespace.name},
        "k8s_apply": {"manifests": canonical(manifest), "namespace": namespace.name},
    }[tool]
    preview = await tool_client.preview(tool, arguments)
    evidence_arguments: JsonObject = {"tool": tool, "arguments": arguments, "preconditions": preview["preconditions"]}
    before = await tool_client.read("grant_evidence", **evidence_arguments)
    assert before.data["evidence"] == "looks_not_applied"
    await tool_client.call_with_grant(tool, arguments, preview["preconditions"])
    after = await tool_client.read("grant_evidence", **evidence_arguments)
    assert after.data["evidence"] == "looks_applied"
