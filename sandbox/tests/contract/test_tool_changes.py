"""Changes by the tool server, previewed and then granted: same results on both API servers."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kube_backend import Backend, Object
from kube_manifests import deployment, feature_flag
from kube_namespace import Namespace
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import canonical


@pytest.fixture
async def tool_client(backend: Backend, tmp_path: Path) -> AsyncIterator[ToolClient]:
    """Run the tool server in this process, with write access to the cluster."""
    async with open_tool_client(settings_for(backend.kubeconfig, backend.context, tmp_path)) as found:
        yield found


async def preview_and_change(tool_client: ToolClient, tool: str, arguments: Object) -> Object:
    """Preview a change, make it, and check that the result matches the preview."""
    preview = await tool_client.preview(tool, arguments)
    assert preview["no_preview"] is None
    assert preview["allowed"] == {"allowed": True, "reason": ""}
    result = await tool_client.call_with_grant(tool, arguments, preview["preconditions"])
    assert not result.is_error, result.text
    assert result.data["diff"] == preview["diff"]
    return preview


async def test_scale_is_previewed_and_applied(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": namespace.name, "replicas": 3}
    preview = await preview_and_change(tool_client, "k8s_scale", arguments)
    assert "-  replicas: 1\n+  replicas: 3" in str(preview["diff"])
    assert preview["warnings"] == ["deployment web: no PodDisruptionBudget covers its replicas"]
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 3
    assert namespace.wait_for_rollout()


async def test_apply_creates_and_updates(tool_client: ToolClient, namespace: Namespace) -> None:
    arguments = {"manifests": canonical(deployment(replicas=1)), "namespace": namespace.name}
    preview = await preview_and_change(tool_client, "k8s_apply", arguments)
    assert str(preview["diff"]).startswith("--- (absent)")
    namespace.wait_for_rollout()
    arguments = {"manifests": canonical(deployment(replicas=2, image="app:2")), "namespace": namespace.name}
    preview = await preview_and_change(tool_client, "k8s_apply", arguments)
    diff = str(preview["diff"])
    assert [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")] == [
        "-  replicas: 1",
        "+  replicas: 2",
        "-      - image: app:1",
        "+      - image: app:2",
    ]
    assert namespace.wait_for_rollout()["spec"]["replicas"] == 2


async def test_apply_reports_field_conflict(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.apply("deployments", deployment(replicas=1), "kim").expect(201)
    arguments: Object = {"manifests": canonical(deployment(replicas=2)), "namespace": namespace.name}
    refused = await tool_client.call("k8s_apply__preview", arguments)
    assert refused.has_error("field_conflict")
    assert 'conflict with "kim": .spec.replicas' in refused.text
    preview = await preview_and_change(tool_client, "k8s_apply", arguments | {"force": True})
    assert any('conflict with "kim": .spec.replicas' in str(warning) for warning in preview["warnings"])
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 2


async def test_apply_creates_namespace_before_its_objects(tool_client: ToolClient, namespace: Namespace) -> None:
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
{canonical(feature_flag() | {"metadata": {"name": "dark-mode", "namespace": namespace.name}})}
"""
    result = await tool_client.change("k8s_apply", {"manifests": manifests})
    assert all(each["uid"] for each in result.data["objects"])
    assert namespace.get("featureflags", "dark-mode")["spec"] == {"enabled": True}
    await tool_client.change("k8s_delete", {"kind": "namespace", "name": name})


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("merge", {"data": {"a": "2"}}),
        ("strategic", {"data": {"a": "2"}}),
        ("json", [{"op": "replace", "path": "/data/a", "value": "2"}]),
    ],
)
async def test_patch_is_previewed_and_applied(
    tool_client: ToolClient, namespace: Namespace, kind: str, patch: object
) -> None:
    namespace.create_config_map("settings", a="1", b="1")
    arguments = {"kind": "cm", "name": "settings", "namespace": namespace.name, "type": kind, "patch": patch}
    preview = await preview_and_change(tool_client, "k8s_patch", arguments)
    assert "-  a: '1'\n+  a: '2'" in str(preview["diff"])
    assert namespace.get("configmaps", "settings")["data"] == {"a": "2", "b": "1"}


async def test_restart_is_previewed_and_applied(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    before = namespace.names("pods")
    preview = await preview_and_change(tool_client, "k8s_rollout_restart", {"name": "web", "namespace": namespace.name})
    assert "kubectl.kubernetes.io/restartedAt" in str(preview["diff"])
    status = await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=20)
    assert status.data["state"] == "complete"
    namespace.wait_for_all(
        "pods", lambda found: before[0] not in {each["metadata"]["name"] for each in found}, "is replaced"
    )


async def test_delete_is_previewed_and_applied(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": namespace.name}
    preview = await preview_and_change(tool_client, "k8s_delete", arguments)
    assert "its pods are deleted too: 1 pod" in preview["warnings"]
    assert namespace.try_get("deployments", "web").status == 404
    namespace.wait_for_all("pods", lambda found: not found, "are gone")


async def test_namespace_delete_warns_about_contents(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    preview = await tool_client.preview("k8s_delete", {"kind": "ns", "name": namespace.name})
    (warning,) = preview["warnings"]
    assert "everything in the namespace is deleted: " in str(warning)
    assert all(count in str(warning) for count in ("1 deployment", "1 pod", "1 replicaset"))


async def test_change_after_preview_is_stale(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": namespace.name, "replicas": 5}
    preview = await tool_client.preview("k8s_scale", arguments)
    namespace.patch("deployments", "web", {"spec": {"replicas": 2}}).expect(200)
    assert (await tool_client.call_with_grant("k8s_scale", arguments, preview["preconditions"])).has_error(
        "stale_preview"
    )


async def test_invalid_manifest_is_rejected(tool_client: ToolClient, namespace: Namespace) -> None:
    arguments = {"manifests": canonical(deployment(replicas=-1)), "namespace": namespace.name}
    refused = await tool_client.call("k8s_apply__preview", arguments)
    assert refused.has_error("invalid")
    assert "spec.replicas" in refused.text


async def test_grant_evidence_detects_applied_change(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment(replicas=1)
    arguments = {"kind": "deploy", "name": "web", "namespace": namespace.name, "replicas": 2}
    preview = await tool_client.preview("k8s_scale", arguments)
    asked = {"tool": "k8s_scale", "arguments": arguments, "preconditions": preview["preconditions"]}
    assert (await tool_client.read("grant_evidence", **asked)).data["evidence"] == "looks_not_applied"
    await tool_client.call_with_grant("k8s_scale", arguments, preview["preconditions"])
    assert (await tool_client.read("grant_evidence", **asked)).data["evidence"] == "looks_applied"
