"""Changes: what the preview shows is what happens, or nothing does."""

import pytest
from toolkit import Toolbox, World, deployment, pinned

from skyflo_tools.jsontypes import JsonObject, canonical, dig, text_at
from skyflo_tools.kubernetes.client import Request
from skyflo_tools.kubernetes.pruning import comparable

RESTARTED = ("spec", "template", "metadata", "annotations", "kubectl.kubernetes.io/restartedAt")


async def changed(toolbox: Toolbox, tool: str, arguments: JsonObject) -> tuple[JsonObject, JsonObject]:
    """The preview and the result of the same change."""
    preview = await toolbox.preview(tool, arguments)
    result = await toolbox.granted(tool, arguments, preview["preconditions"])
    assert not result.is_error, result.text
    return preview, result.data


def scaled(world: World, replicas: int, name: str = "web") -> JsonObject:
    return {"kind": "deployment", "name": name, "namespace": world.namespace, "replicas": replicas}


@pytest.mark.promise("bound")
async def test_scale_does_what_its_preview_shows(toolbox: Toolbox, world: World) -> None:
    before = await world.deployment()
    preview, result = await changed(toolbox, "k8s_scale", scaled(world, 5))
    after = await world.get("deployments", "web")
    assert preview["summary"] == f"Scale deployment/web in {world.namespace} from 3 to 5"
    assert preview["risk"] == {"level": "low", "reason": "only more replicas"}
    assert preview["allowed"] == {"allowed": True, "reason": ""}
    assert "-  replicas: 3\n+  replicas: 5" in str(preview["diff"])
    assert result["diff"] == preview["diff"]
    assert after.at("spec", "replicas") == 5
    expected = comparable(before.body) | {"spec": {**comparable(before.body)["spec"], "replicas": 5}}
    now = comparable(after.body)
    assert canonical(now["spec"]) == canonical(expected["spec"])


@pytest.mark.promise("bound")
async def test_apply_update_does_what_its_preview_shows(toolbox: Toolbox, world: World) -> None:
    created = canonical(deployment(replicas=2))
    await toolbox.change("k8s_apply", {"manifests": created, "namespace": world.namespace})
    updated = canonical(deployment(replicas=4, image="web:2"))
    arguments: JsonObject = {"manifests": updated, "namespace": world.namespace}
    preview, result = await changed(toolbox, "k8s_apply", arguments)
    assert preview["diff"] == result["diff"]
    assert "-      - image: web:1" in str(preview["diff"]) or "image: web:2" in str(preview["diff"])
    after = await world.get("deployments", "web")
    assert after.at("spec", "replicas") == 4
    assert pinned(preview)["touches"] == [
        [".spec", ".replicas"],
        [".spec", ".template", ".spec", ".containers", "@app", ".image"],
    ]


@pytest.mark.promise("bound")
async def test_apply_creates_several_objects_at_once(toolbox: Toolbox, world: World) -> None:
    name = f"{world.namespace}-new"
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
metadata: {{name: settings, namespace: {world.namespace}}}
data: {{date: 2026-01-02, a: "1"}}
"""
    preview, result = await changed(toolbox, "k8s_apply", {"manifests": manifests})
    assert "its namespace is created by this same change" in str(preview["no_preview"])
    assert [dig(each, "uid") for each in preview["objects"]] == [None, None, None]
    assert all(dig(each, "uid") for each in result["objects"])
    assert (await world.get("configmaps", "settings")).at("data", "date") == "2026-01-02"
    await world.api.send(Request("DELETE", f"/api/v1/namespaces/{name}"))


@pytest.mark.promise("bound")
@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"data": {"a": "2"}}),
        ("strategic", {"data": {"a": "2"}}),
        ("json", [{"op": "replace", "path": "/data/a", "value": "2"}]),
    ],
)
async def test_patch_does_what_its_preview_shows(toolbox: Toolbox, world: World, kind: str, patch: JsonObject) -> None:
    await world.config_map("settings", a="1", b="1")
    arguments: JsonObject = {
        "kind": "cm",
        "name": "settings",
        "namespace": world.namespace,
        "type": kind,
        "patch": patch,
    }
    preview, result = await changed(toolbox, "k8s_patch", arguments)
    assert preview["diff"] == result["diff"]
    assert "-  a: '1'\n+  a: '2'" in str(preview["diff"])
    assert (await world.get("configmaps", "settings")).at("data") == {"a": "2", "b": "1"}


@pytest.mark.promise("bound")
async def test_restart_sets_the_time_that_was_shown(toolbox: Toolbox, world: World) -> None:
    await world.deployment(replicas=1)
    arguments: JsonObject = {"name": "web", "namespace": world.namespace}
    preview, result = await changed(toolbox, "k8s_rollout_restart", arguments)
    at = text_at(preview, "preconditions", "pinned", "restartedAt")
    assert at in str(preview["diff"])
    assert preview["diff"] == result["diff"]
    assert (await world.get("deployments", "web")).at(*RESTARTED) == at
    assert any("single replica" in str(warning) for warning in preview["warnings"])


@pytest.mark.promise("bound")
async def test_delete_deletes_the_object_that_was_shown(toolbox: Toolbox, world: World) -> None:
    created = await world.deployment()
    arguments: JsonObject = {"kind": "deploy", "name": "web", "namespace": world.namespace}
    preview, result = await changed(toolbox, "k8s_delete", arguments)
    assert dig(preview, "risk", "level") == "destructive"
    assert dig(preview["objects"][0], "uid") == created.uid
    assert preview["diff"] == result["diff"]
    gone = await toolbox.call("k8s_get", {"kind": "deploy", "name": "web", "namespace": world.namespace})
    assert gone.has("not_found")


@pytest.mark.promise("fresh")
async def test_an_edit_after_the_preview_makes_it_stale(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world, 5))
    await world.patch("deployments", "web", {"spec": {"replicas": 2}})
    result = await toolbox.granted("k8s_scale", scaled(world, 5), preview["preconditions"])
    assert result.has("stale_preview")
    assert (await world.get("deployments", "web")).at("spec", "replicas") == 2


@pytest.mark.promise("fresh")
async def test_an_edit_that_the_dry_run_had_not_shown_makes_it_stale(toolbox: Toolbox, world: World) -> None:
    """The manifest sets `a` as it already is; somebody then changes `a`: applying would now change two values."""
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    first = canonical(manifest | {"data": {"a": "1", "b": "1"}})
    await toolbox.change("k8s_apply", {"manifests": first, "namespace": world.namespace})
    second: JsonObject = {
        "manifests": canonical(manifest | {"data": {"a": "1", "b": "2"}}),
        "namespace": world.namespace,
        "force": True,
    }
    preview = await toolbox.preview("k8s_apply", second)
    await world.patch("configmaps", "settings", {"data": {"a": "9"}})
    result = await toolbox.granted("k8s_apply", second, preview["preconditions"])
    assert result.has("stale_preview")


@pytest.mark.promise("fresh")
async def test_status_and_untouched_fields_do_not_make_it_stale(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    preview = await toolbox.preview("k8s_scale", scaled(world, 5))
    await world.patch("deployments", "web", {"status": {"observedGeneration": 99}}, "status")
    await world.patch("deployments", "web", {"metadata": {"annotations": {"note": "hello"}}})
    result = await toolbox.granted("k8s_scale", scaled(world, 5), preview["preconditions"])
    assert not result.is_error, result.text


@pytest.mark.promise("fresh")
@pytest.mark.parametrize("tool", ["k8s_patch", "k8s_delete", "k8s_apply"])
async def test_a_recreated_object_makes_it_stale(toolbox: Toolbox, world: World, tool: str) -> None:
    await world.config_map("settings", a="1")
    one: JsonObject = {"kind": "cm", "name": "settings", "namespace": world.namespace}
    manifest: JsonObject = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"z": "1"},
    }
    arguments = {
        "k8s_patch": one | {"patch": {"data": {"a": "2"}}},
        "k8s_delete": one,
        "k8s_apply": {"manifests": canonical(manifest), "namespace": world.namespace},
    }[tool]
    preview = await toolbox.preview(tool, arguments)
    await world.delete("configmaps", "settings")
    gone = await toolbox.granted(tool, arguments, preview["preconditions"])
    assert gone.has("not_found") or gone.has("stale_preview")
    await world.config_map("settings", a="1")
    recreated = await toolbox.granted(tool, arguments, preview["preconditions"])
    assert recreated.has("stale_preview")
    assert (await world.get("configmaps", "settings")).at("data") == {"a": "1"}


@pytest.mark.promise("fresh")
async def test_what_was_to_be_created_is_not_written_over(toolbox: Toolbox, world: World) -> None:
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "new"}, "data": {"a": "1"}}
    arguments: JsonObject = {"manifests": canonical(manifest), "namespace": world.namespace}
    preview = await toolbox.preview("k8s_apply", arguments)
    await world.config_map("new", a="somebody else's")
    result = await toolbox.granted("k8s_apply", arguments, preview["preconditions"])
    assert result.has("stale_preview") or result.has("field_conflict")
    assert (await world.get("configmaps", "new")).at("data", "a") == "somebody else's"


async def test_a_conflict_names_the_other_manager_and_force_is_a_risk(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    await world.patch("deployments", "web", {"spec": {"replicas": 6}}, manager="autopilot")
    arguments: JsonObject = {"manifests": canonical(deployment(replicas=2)), "namespace": world.namespace}
    refused = await toolbox.call("k8s_apply__preview", arguments)
    assert refused.has("field_conflict")
    assert "autopilot" in refused.text
    forced = arguments | {"force": True}
    preview, _ = await changed(toolbox, "k8s_apply", forced)
    assert dig(preview, "risk", "level") == "high"
    assert any("autopilot" in str(warning) for warning in preview["warnings"])
    assert (await world.get("deployments", "web")).at("spec", "replicas") == 2


async def test_applying_twice_needs_no_force(toolbox: Toolbox, world: World) -> None:
    """What we created is ours: the next apply meets no conflict with ourselves and prunes what it leaves out."""
    manifest: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}}
    for data in ({"a": "1", "b": "1"}, {"a": "2"}):
        body = canonical(manifest | {"data": data})
        await toolbox.change("k8s_apply", {"manifests": body, "namespace": world.namespace})
    assert (await world.get("configmaps", "settings")).at("data") == {"a": "2"}


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm"),
        ({"annotations": {"meta.helm.sh/release-name": "shop"}}, "Helm release shop"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:x/web"}}, "Argo CD application shop"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux kustomization shop"),
    ],
)
async def test_other_managers_are_warned_of(toolbox: Toolbox, world: World, metadata: JsonObject, words: str) -> None:
    await world.deployment(**metadata)
    preview = await toolbox.preview("k8s_scale", scaled(world, 1))
    assert any(words in str(warning) and "put it back" in str(warning) for warning in preview["warnings"])


async def test_an_autoscaler_is_warned_of(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    scaler = f"""
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: web, namespace: {world.namespace}}}
spec: {{minReplicas: 2, maxReplicas: 9, scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: web}}}}
"""
    await toolbox.change("k8s_apply", {"manifests": scaler})
    preview = await toolbox.preview("k8s_scale", scaled(world, 5))
    assert any("autoscaler web" in str(warning) for warning in preview["warnings"])


async def test_a_refused_change_has_no_effect(toolbox: Toolbox, world: World) -> None:
    await world.config_map("settings", a="1")
    arguments: JsonObject = {
        "kind": "cm",
        "name": "settings",
        "namespace": world.namespace,
        "patch": {"data": {"a": 5}},
    }
    refused = await toolbox.call("k8s_patch__preview", arguments)
    assert refused.is_error
    assert refused.data["effect"] == "none"
    assert "hint" in refused.data


@pytest.mark.promise("fail-closed")
async def test_an_ambient_cluster_is_read_only(toolbox: Toolbox, world: World) -> None:
    await world.deployment()
    assert toolbox.door is not None
    toolbox.door.services.clusters.setting = ""
    refused = await toolbox.call("k8s_scale__preview", scaled(world, 5))
    assert refused.has("cluster_read_only")
    assert "CLUSTERS=" in refused.text
    assert not (await toolbox.call("k8s_get", {"kind": "ns"})).is_error
