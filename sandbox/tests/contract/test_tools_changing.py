"""The tool server's changes, previewed and then done by a grant: the same on both."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubebackend import Backend, Object
from kubeobjects import deployment, feature_flag
from kubespace import Space
from toolkit import Toolbox, serving, settings_for

from skyflo_tools.jsontypes import canonical


@pytest.fixture
async def toolbox(backend: Backend, tmp_path: Path) -> AsyncIterator[Toolbox]:
    """The tool server in this process, allowed to change the cluster."""
    async with serving(settings_for(backend.kubeconfig, backend.context, tmp_path)) as found:
        yield found


async def changed(toolbox: Toolbox, tool: str, arguments: Object) -> Object:
    """The preview of a change that was then done, and did what it showed."""
    preview = await toolbox.preview(tool, arguments)
    assert preview["no_preview"] is None
    assert preview["allowed"] == {"allowed": True, "reason": ""}
    result = await toolbox.granted(tool, arguments, preview["preconditions"])
    assert not result.is_error, result.text
    assert result.data["diff"] == preview["diff"]
    return preview


async def test_scale(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": space.namespace, "replicas": 3}
    preview = await changed(toolbox, "k8s_scale", arguments)
    assert "-  replicas: 1\n+  replicas: 3" in str(preview["diff"])
    assert preview["warnings"] == []
    assert space.get("deployments", "web")["spec"]["replicas"] == 3
    assert space.rolled_out()


async def test_apply_creates_and_updates(toolbox: Toolbox, space: Space) -> None:
    arguments = {"manifests": canonical(deployment(replicas=1)), "namespace": space.namespace}
    preview = await changed(toolbox, "k8s_apply", arguments)
    assert str(preview["diff"]).startswith("--- (absent)")
    space.rolled_out()
    arguments = {"manifests": canonical(deployment(replicas=2, image="app:2")), "namespace": space.namespace}
    preview = await changed(toolbox, "k8s_apply", arguments)
    diff = str(preview["diff"])
    assert [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-  replicas: 1",
        "+  replicas: 2",
        "-      - image: app:1",
        "+      - image: app:2",
    ]
    assert space.rolled_out()["spec"]["replicas"] == 2


async def test_apply_names_the_manager_whose_fields_it_would_take(toolbox: Toolbox, space: Space) -> None:
    space.apply("deployments", deployment(replicas=1), "kim").made(201)
    arguments: Object = {"manifests": canonical(deployment(replicas=2)), "namespace": space.namespace}
    refused = await toolbox.call("k8s_apply__preview", arguments)
    assert refused.has("field_conflict")
    assert 'conflict with "kim": .spec.replicas' in refused.text
    preview = await changed(toolbox, "k8s_apply", arguments | {"force": True})
    assert any('conflict with "kim": .spec.replicas' in str(warning) for warning in preview["warnings"])
    assert space.get("deployments", "web")["spec"]["replicas"] == 2


async def test_apply_of_several_objects_with_their_namespace(toolbox: Toolbox, space: Space) -> None:
    name = f"{space.namespace}-new"
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
{canonical(feature_flag() | {"metadata": {"name": "dark-mode", "namespace": space.namespace}})}
"""
    result = await toolbox.change("k8s_apply", {"manifests": manifests})
    assert all(each["uid"] for each in result.data["objects"])
    assert space.get("featureflags", "dark-mode")["spec"] == {"enabled": True}
    await toolbox.change("k8s_delete", {"kind": "namespace", "name": name})


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"data": {"a": "2"}}),
        ("strategic", {"data": {"a": "2"}}),
        ("json", [{"op": "replace", "path": "/data/a", "value": "2"}]),
    ],
)
async def test_patch(toolbox: Toolbox, space: Space, kind: str, patch: object) -> None:
    space.config_map("settings", a="1", b="1")
    arguments = {"kind": "cm", "name": "settings", "namespace": space.namespace, "type": kind, "patch": patch}
    preview = await changed(toolbox, "k8s_patch", arguments)
    assert "-  a: '1'\n+  a: '2'" in str(preview["diff"])
    assert space.get("configmaps", "settings")["data"] == {"a": "2", "b": "1"}


async def test_restart(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    before = space.names("pods")
    preview = await changed(toolbox, "k8s_rollout_restart", {"name": "web", "namespace": space.namespace})
    assert "kubectl.kubernetes.io/restartedAt" in str(preview["diff"])
    status = await toolbox.read("k8s_rollout_status", name="web", namespace=space.namespace, wait_seconds=20)
    assert status.data["state"] == "complete"
    space.until_all("pods", lambda found: before[0] not in {each["metadata"]["name"] for each in found}, "is replaced")


async def test_delete(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": space.namespace}
    preview = await changed(toolbox, "k8s_delete", arguments)
    assert "its pods go with it: 1 pod" in preview["warnings"]
    assert space.ask("deployments", "web").status == 404
    space.until_all("pods", lambda found: not found, "are gone")


async def test_deleting_a_namespace_tells_what_is_in_it(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    preview = await toolbox.preview("k8s_delete", {"kind": "ns", "name": space.namespace})
    (warning,) = preview["warnings"]
    assert "everything in the namespace is deleted: 1 deployment, 1 pod" in str(warning)


async def test_an_edit_after_the_preview_makes_it_stale(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": space.namespace, "replicas": 5}
    preview = await toolbox.preview("k8s_scale", arguments)
    space.patch("deployments", "web", {"spec": {"replicas": 2}}).made(200)
    assert (await toolbox.granted("k8s_scale", arguments, preview["preconditions"])).has("stale_preview")


async def test_an_invalid_manifest_is_refused_by_field(toolbox: Toolbox, space: Space) -> None:
    arguments = {"manifests": canonical(deployment(replicas=-1)), "namespace": space.namespace}
    refused = await toolbox.call("k8s_apply__preview", arguments)
    assert refused.has("invalid")
    assert "spec.replicas" in refused.text


async def test_evidence_is_found_of_a_change_that_was_made(toolbox: Toolbox, space: Space) -> None:
    space.running(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": space.namespace, "replicas": 2}
    preview = await toolbox.preview("k8s_scale", arguments)
    asked = {"tool": "k8s_scale", "arguments": arguments, "preconditions": preview["preconditions"]}
    assert (await toolbox.read("grant_evidence", **asked)).data["evidence"] == "looks_not_applied"
    await toolbox.granted("k8s_scale", arguments, preview["preconditions"])
    assert (await toolbox.read("grant_evidence", **asked)).data["evidence"] == "looks_applied"
