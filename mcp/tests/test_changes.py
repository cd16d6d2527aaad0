"""A change does exactly what its preview shows, or nothing."""

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import ToolClient, first_precondition

from skyflo_common.jsontypes import JsonObject, canonical, dig, text_at
from skyflo_tools.kubernetes.client import ApiRequest
from skyflo_tools.kubernetes.pruning import comparable
from skyflo_tools.shortening import shorten

RESTARTED = ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")


async def preview_and_change(
    tool_client: ToolClient, tool: str, arguments: JsonObject
) -> tuple[JsonObject, JsonObject]:
    """Preview and execute a change. Returns the preview and the structured content of the result."""
    preview = await tool_client.preview(tool, arguments)
    result = await tool_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert not result.is_error, result.text
    return preview, result.data


def scale_arguments(namespace: KubeNamespace, replicas: int, name: str = "web") -> JsonObject:
    return {"kind": "deployment", "name": name, "namespace": namespace.name, "replicas": replicas}


@pytest.mark.promise("bound")
async def test_scale_does_what_its_preview_shows(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    before = await namespace.create_deployment()
    preview, result = await preview_and_change(tool_client, "k8s_scale", scale_arguments(namespace, 5))
    after = await namespace.get("deployments", "web")
    assert preview["summary"] == f"Scale deployment/web in {namespace.name} from 3 to 5"
    assert preview["risk"] == {"level": "low", "reason": "only adds replicas"}
    assert preview["allowed"] == {"allowed": True, "reason": ""}
    assert "-  replicas: 3\n+  replicas: 5" in str(preview["diff"])
    assert result["diff"] == preview["diff"]
    assert after.at("spec", "replicas") == 5
    expected = comparable(before.body) | {"spec": {**comparable(before.body)["spec"], "replicas": 5}}
    now = comparable(after.body)
    assert canonical(now["spec"]) == canonical(expected["spec"])


@pytest.mark.promise("bound")
async def test_apply_update_does_what_its_preview_shows(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    created = canonical(deployment_manifest(replicas=2))
    await tool_client.change("k8s_apply", {"manifests": created, "namespace": namespace.name})
    updated = canonical(deployment_manifest(replicas=4, image="web:2"))
    arguments: JsonObject = {"manifests": updated, "namespace": namespace.name}
    preview, result = await preview_and_change(tool_client, "k8s_apply", arguments)
    assert preview["diff"] == result["diff"]
    assert "-      - image: web:1" in str(preview["diff"]) or "image: web:2" in str(preview["diff"])
    after = await namespace.get("deployments", "web")
    assert after.at("spec", "replicas") == 4
    assert first_precondition(preview)["touches"] == [
        [".spec", ".replicas"],
        [".spec", ".template", ".spec", ".containers", "@app", ".image"],
    ]


@pytest.mark.promise("bound")
async def test_apply_creates_several_objects_at_once(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    name = f"{namespace.name}-new"
    manifests = f"""
apiVersion: v1
kind: Namespace
metadata: {{name: {name}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: early, namespace: {name}}}
data: {{a: "1"}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: settings, namespace: {namespace.name}}}
data: {{date: 2026-01-02, a: "1"}}
"""
    preview, result = await preview_and_change(tool_client, "k8s_apply", {"manifests": manifests})
    assert "its namespace is created by this same change" in str(preview["no_preview"])
    assert [dig(each, "uid") for each in preview["objects"]] == [None, None, None]
    assert all(dig(each, "uid") for each in result["objects"])
    assert (await namespace.get("configmaps", "settings")).at("data", "date") == "2026-01-02"
    await namespace.client.send(ApiRequest("DELETE", f"/api/v1/namespaces/{name}"))


@pytest.mark.promise("bound")
@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"data": {"a": "2"}}),
        ("strategic", {"data": {"a": "2"}}),
        ("json", [{"op": "replace", "path": "/data/a", "value": "2"}]),
    ],
)
async def test_patch_does_what_its_preview_shows(
    tool_client: ToolClient, namespace: KubeNamespace, kind: str, patch: JsonObject
) -> None:
    await namespace.create_config_map("settings", a="1", b="1")
    arguments: JsonObject = {
        "kind": "cm",
        "name": "settings",
        "namespace": namespace.name,
        "type": kind,
        "patch": patch,
    }
    preview, result = await preview_and_change(tool_client, "k8s_patch", arguments)
    assert preview["diff"] == result["diff"]
    assert "-  a: '1'\n+  a: '2'" in str(preview["diff"])
    assert (await namespace.get("configmaps", "settings")).at("data") == {"a": "2", "b": "1"}


@pytest.mark.promise("bound")
async def test_restart_uses_the_time_of_its_preview(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=1)
    arguments: JsonObject = {"name": "web", "namespace": namespace.name}
    preview, result = await preview_and_change(tool_client, "k8s_rollout_restart", arguments)
    at = text_at(preview, "preconditions", "pinned", "restartedAt")
    assert at in str(preview["diff"])
    assert preview["diff"] == result["diff"]
    assert (await namespace.get("deployments", "web")).at(*RESTARTED) == at
    assert any("single replica" in str(warning) for warning in preview["warnings"])


@pytest.mark.promise("bound")
async def test_delete_does_what_its_preview_shows(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    created = await namespace.create_deployment()
    arguments: JsonObject = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    preview, result = await preview_and_change(tool_client, "k8s_delete", arguments)
    assert dig(preview, "risk", "level") == "destructive"
    assert dig(preview["objects"][0], "uid") == created.uid
    assert preview["diff"] == result["diff"]
    gone = await tool_client.call("k8s_get", {"kind": "deploy", "name": "web", "namespace": namespace.name})
    assert gone.has_error("not_found")


@pytest.mark.promise("fresh")
async def test_edit_after_the_preview_makes_it_stale(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace, 5))
    await namespace.patch("deployments", "web", {"spec": {"replicas": 2}})
    result = await tool_client.call_with_grant("k8s_scale", scale_arguments(namespace, 5), preview["preconditions"])
    assert result.has_error("stale_preview")
    assert (await namespace.get("deployments", "web")).at("spec", "replicas") == 2


@pytest.mark.promise("fresh")
async def test_edit_of_an_unchanged_manifest_field_makes_it_stale(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    """The manifest keeps `a`, but another manager changes it, so that applying would change two values."""
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    first = canonical(manifest | {"data": {"a": "1", "b": "1"}})
    await tool_client.change("k8s_apply", {"manifests": first, "namespace": namespace.name})
    second: JsonObject = {
        "manifests": canonical(manifest | {"data": {"a": "1", "b": "2"}}),
        "namespace": namespace.name,
        "force": True,
    }
    preview = await tool_client.preview("k8s_apply", second)
    await namespace.patch("configmaps", "settings", {"data": {"a": "9"}})
    result = await tool_client.call_with_grant("k8s_apply", second, preview["preconditions"])
    assert result.has_error("stale_preview")


@pytest.mark.promise("fresh")
async def test_edits_of_status_and_other_fields_do_not_make_it_stale(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    preview = await tool_client.preview("k8s_scale", scale_arguments(namespace, 5))
    await namespace.patch("deployments", "web", {"status": {"observedGeneration": 99}}, "status")
    await namespace.patch("deployments", "web", {"metadata": {"annotations": {"note": "hello"}}})
    result = await tool_client.call_with_grant("k8s_scale", scale_arguments(namespace, 5), preview["preconditions"])
    assert not result.is_error, result.text


@pytest.mark.promise("fresh")
@pytest.mark.parametrize("tool", ["k8s_patch", "k8s_delete", "k8s_apply"])
async def test_recreated_object_makes_the_preview_stale(
    tool_client: ToolClient, namespace: KubeNamespace, tool: str
) -> None:
    await namespace.create_config_map("settings", a="1")
    one: JsonObject = {"kind": "cm", "name": "settings", "namespace": namespace.name}
    manifest: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"z": "1"},
    }
    arguments = {
        "k8s_patch": one | {"patch": {"data": {"a": "2"}}},
        "k8s_delete": one,
        "k8s_apply": {"manifests": canonical(manifest), "namespace": namespace.name},
    }[tool]
    preview = await tool_client.preview(tool, arguments)
    await namespace.delete("configmaps", "settings")
    gone = await tool_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert gone.has_error("not_found") or gone.has_error("stale_preview")
    await namespace.create_config_map("settings", a="1")
    recreated = await tool_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert recreated.has_error("stale_preview")
    assert (await namespace.get("configmaps", "settings")).at("data") == {"a": "1"}


@pytest.mark.promise("fresh")
async def test_create_does_not_overwrite_an_object_created_meanwhile(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "1"}}
    arguments: JsonObject = {"manifests": canonical(manifest), "namespace": namespace.name}
    preview = await tool_client.preview("k8s_apply", arguments)
    await namespace.create_config_map("new", a="other")
    result = await tool_client.call_with_grant("k8s_apply", arguments, preview["preconditions"])
    assert result.has_error("stale_preview") or result.has_error("field_conflict")
    assert (await namespace.get("configmaps", "new")).at("data", "a") == "other"


async def test_rejected_preview_has_no_effect(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_config_map("settings", a="1")
    arguments: JsonObject = {
        "kind": "cm",
        "name": "settings",
        "namespace": namespace.name,
        "patch": {"data": {"a": 5}},
    }
    refused = await tool_client.call("k8s_patch__preview", arguments)
    assert refused.is_error
    assert refused.data["effect"] == "none"
    assert "hint" in refused.data


@pytest.mark.promise("fail-closed")
async def test_cluster_is_read_only_unless_listed_in_settings(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment()
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.services.clusters.setting = ""
    refused = await tool_client.call("k8s_scale__preview", scale_arguments(namespace, 5))
    assert refused.has_error("cluster_read_only")
    assert "CLUSTERS=" in refused.text
    assert not (await tool_client.call("k8s_get", {"kind": "ns"})).is_error


async def test_shortened_text_is_never_written(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    long = "\n".join(f"line {number}" for number in range(2000))
    arguments: JsonObject = {
        "kind": "cm",
        "name": "big",
        "namespace": namespace.name,
        "patch": {"data": {"text": shorten(long, 500)}},
    }
    await namespace.create_config_map("big", text=long)
    refused = await tool_client.call("k8s_patch__preview", arguments)
    assert refused.has_error("bad_arguments")
    assert "characters left out]…" in refused.text


@pytest.mark.promise("bound", "bounded")
async def test_change_that_can_not_be_shown_whole_says_so(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    one: JsonObject = {"kind": "cm", "name": "large", "namespace": namespace.name}
    await namespace.create_config_map("large", a="x\n" * 40_000)
    long = await tool_client.preview("k8s_patch", one | {"patch": {"data": {"a": "y\n" * 40_000}}})
    assert dig(long, "risk", "level") == "high"
    assert "too long to be shown whole" in str(long["warnings"])
    small = await tool_client.preview("k8s_patch", one | {"patch": {"data": {"b": "1"}}})
    assert "+  b: '1'" in str(small["diff"])
    assert dig(small, "risk", "level") == "medium"
    await namespace.create_config_map("huge", **{f"key-{n}": "line of text\n" * 2000 for n in range(35)})
    huge = await tool_client.preview("k8s_patch", one | {"name": "huge", "patch": {"data": {"key-3": "other\n"}}})
    assert "+    other" in str(huge["diff"]) or "can't be shown" in str(huge["warnings"])
