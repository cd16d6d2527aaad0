"""Impersonation: the cluster checks the rights of the user, and its audit log names them."""

import json
import re
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from cluster_namespace import KubeNamespace, privileged_pod
from helm_releases import HelmCommand
from tool_client import CallResult, ToolClient, sign_token

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical, dig
from skyflo_tools.grants.claims import IDENTITY_META
from skyflo_tools.kubernetes.client import KubeClient, json_request
from tests.support.services import Cluster


@pytest.fixture
async def shop(cluster: Cluster, admin_client: KubeClient) -> KubeNamespace:
    """The namespace `shop`, which alice may edit and bob may view. Test clusters of this project have it."""
    if f"{cluster.context}-alice" not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: users: TEST_KUBECONFIG is a cluster without them")
    return KubeNamespace(admin_client, "shop")


@pytest.fixture
async def config_map(shop: KubeNamespace) -> AsyncIterator[str]:
    """The name of a ConfigMap in `shop`."""
    name = f"note-{secrets.token_hex(4)}"
    await shop.create_config_map(name, a="1")
    yield name
    await shop.delete("configmaps", name)


def use_context(tool_client: ToolClient, context: str, *, impersonate: bool = False) -> None:
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.services.clusters.setting = context
    tool_client.dispatcher.impersonate = impersonate


def patch_arguments(name: str) -> JsonObject:
    return {"kind": "cm", "name": name, "namespace": "shop", "patch": {"data": {"a": "2"}}}


async def call_as(tool_client: ToolClient, tool: str, arguments: JsonObject, user: str, *groups: str) -> CallResult:
    now = time.time()
    claims: JsonObject = {"purpose": "identity", "kubernetes_user": user, "kubernetes_groups": list(groups)}
    return await tool_client.call(tool, arguments, {IDENTITY_META: sign_token(claims | {"iat": now, "exp": now + 15})})


@pytest.mark.promise("fail-closed")
async def test_viewer_gets_an_unchecked_preview_and_no_change(
    tool_client: ToolClient, cluster: Cluster, config_map: str
) -> None:
    use_context(tool_client, f"{cluster.context}-bob")
    preview = await tool_client.preview("k8s_patch", patch_arguments(config_map))
    assert dig(preview, "allowed", "allowed") is False
    assert "not checked by the API server" in str(preview["no_preview"])
    assert "+  a: '2'" in str(preview["diff"])
    refused = await tool_client.call_with_grant("k8s_patch", patch_arguments(config_map), preview["preconditions"])
    assert refused.has_error("forbidden")
    use_context(tool_client, f"{cluster.context}-alice,")
    now_allowed = await tool_client.call_with_grant(
        "k8s_patch", patch_arguments(config_map), _for_context(preview, f"{cluster.context}-alice")
    )
    assert now_allowed.has_error("stale_preview")


def _for_context(preview: JsonObject, context: str) -> JsonValue:
    """Return the preconditions of a preview for another context of the same cluster."""
    text = json.dumps(preview["preconditions"]).replace("-bob", "-alice")
    assert context in text
    found: JsonValue = json.loads(text)
    return found


async def test_preview_shows_why_admission_refuses_the_change_of_a_user(
    tool_client: ToolClient, cluster: Cluster, shop: KubeNamespace, namespace: KubeNamespace
) -> None:
    """Another user might be accepted, so the approver sees it, and what the API server said."""
    await namespace.forbid_privileges()
    role: JsonObject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"}
    binding: JsonObject = {
        "metadata": {"name": "dana"},
        "roleRef": role,
        "subjects": [{"kind": "User", "name": "dana"}],
    }
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/rolebindings"
    await namespace.client.send(json_request("POST", path, binding))
    use_context(tool_client, f"{cluster.context}-skyflo", impersonate=True)
    arguments: JsonObject = {"manifests": canonical(privileged_pod()), "namespace": namespace.name}
    preview = await call_as(tool_client, "k8s_apply__preview", arguments, "dana")
    assert dig(preview.data, "allowed", "allowed") is False, preview.text
    assert "violates PodSecurity" in str(dig(preview.data, "allowed", "reason"))


@pytest.mark.promise("attribution")
async def test_audit_log_names_the_impersonated_user(
    tool_client: ToolClient, cluster: Cluster, config_map: str
) -> None:
    use_context(tool_client, f"{cluster.context}-skyflo", impersonate=True)
    preview = await call_as(tool_client, "k8s_patch__preview", patch_arguments(config_map), "alice", "developers")
    assert not preview.is_error, preview.text
    result = await tool_client.call_with_grant(
        "k8s_patch",
        patch_arguments(config_map),
        preview.data["preconditions"],
        jti="approval-42",
        kubernetes_user="alice",
        kubernetes_groups=["developers"],
    )
    assert not result.is_error, result.text
    lines = [json.loads(line) for line in cluster.audit_log.read_text().splitlines() if config_map in line]
    written = next(each for each in lines if each["verb"] == "patch" and "dryRun" not in each["requestURI"])
    assert written["user"]["username"] == "skyflo"
    assert written["impersonatedUser"]["username"] == "alice"
    assert written["impersonatedUser"]["extra"] == {"approval": ["approval-42"]}
    assert "approver/ann@example.org" in written["userAgent"]


@pytest.mark.promise("authorised")
async def test_impersonation_uses_the_rights_of_the_user(
    tool_client: ToolClient, cluster: Cluster, config_map: str
) -> None:
    use_context(tool_client, f"{cluster.context}-skyflo", impersonate=True)
    one: JsonObject = {"kind": "cm", "name": config_map, "namespace": "shop"}
    assert (await tool_client.call("k8s_get", one)).has_error("identity_missing")
    assert (await call_as(tool_client, "k8s_get", one, "eve")).has_error("forbidden")
    assert not (await call_as(tool_client, "k8s_get", one, "bob", "viewers")).is_error
    assert (await call_as(tool_client, "k8s_get", one, "system:admin", "system:masters")).has_error("grant_invalid")
    assert (await call_as(tool_client, "k8s_get", one, "eve", "system:masters")).has_error("grant_invalid")
    preview = await call_as(tool_client, "k8s_patch__preview", patch_arguments(config_map), "alice", "developers")
    refused = await tool_client.call_with_grant("k8s_patch", patch_arguments(config_map), preview.data["preconditions"])
    assert refused.has_error("grant_invalid")


@pytest.mark.promise("fail-closed")
async def test_calls_for_a_user_are_refused_without_impersonation(
    tool_client: ToolClient, cluster: Cluster, config_map: str
) -> None:
    """The server's own credentials may have more rights than the user."""
    use_context(tool_client, f"{cluster.context}-alice")
    one: JsonObject = {"kind": "cm", "name": config_map, "namespace": "shop"}
    assert (await call_as(tool_client, "k8s_get", one, "eve")).has_error("identity_refused")
    assert (await call_as(tool_client, "k8s_patch__preview", patch_arguments(config_map), "eve")).has_error(
        "identity_refused"
    )
    preview = await tool_client.preview("k8s_patch", patch_arguments(config_map))
    refused = await tool_client.call_with_grant(
        "k8s_patch", patch_arguments(config_map), preview["preconditions"], kubernetes_user="eve"
    )
    assert refused.has_error("identity_refused")


@pytest.mark.promise("attribution", "authorised")
async def test_helm_runs_with_the_rights_and_the_name_of_the_user(
    helm_client: ToolClient, cluster: Cluster, shop: KubeNamespace, helm: HelmCommand
) -> None:
    use_context(helm_client, f"{cluster.context}-skyflo", impersonate=True)
    name = f"shop-{secrets.token_hex(4)}"
    chart: JsonObject = {"name": name, "namespace": "shop", "chart": "./shop", "values": "replicas: 0"}
    alice: JsonObject = {"kubernetes_user": "alice", "kubernetes_groups": ["developers"]}
    for user, groups in (("eve", []), ("bob", ["viewers"])):
        refused = await call_as(helm_client, "helm_install__preview", chart, user, *groups)
        assert refused.has_error("forbidden")
        assert f'User "{user}" cannot list resource "secrets"' in refused.text
    preview = await call_as(helm_client, "helm_install__preview", chart, "alice", "developers")
    assert not preview.is_error, preview.text
    pinned = preview.data["preconditions"]
    bob: JsonObject = {"kubernetes_user": "bob", "kubernetes_groups": ["viewers"]}
    refused = await helm_client.call_with_grant("helm_install", chart, pinned, **bob)
    assert refused.has_error("forbidden")
    assert f"{name}-settings" not in [each.name for each in await shop.list_objects("configmaps")]
    result = await helm_client.call_with_grant("helm_install", chart, pinned, jti=f"approval-{name}", **alice)
    try:
        assert not result.is_error, result.text
        lines = [json.loads(line) for line in cluster.audit_log.read_text().splitlines() if name in line]
        written = [each for each in lines if each["verb"] in ("create", "patch", "update")]
        real = [each for each in written if not re.search("dryRun|accessreviews", each["requestURI"])]
        assert {each["objectRef"]["resource"] for each in real} == {"secrets", "configmaps", "deployments"}
        assert {each["user"]["username"] for each in real} == {"skyflo"}
        assert {each["impersonatedUser"]["username"] for each in real} == {"alice"}
        assert [each["impersonatedUser"]["extra"] for each in real] == [{"approval": [f"approval-{name}"]}] * len(real)
    finally:
        await helm.run("uninstall", name, namespace="shop")


@pytest.mark.promise("authorised")
async def test_evidence_uses_the_rights_of_the_user(tool_client: ToolClient, cluster: Cluster, config_map: str) -> None:
    use_context(tool_client, f"{cluster.context}-skyflo", impersonate=True)
    preview = await call_as(tool_client, "k8s_patch__preview", patch_arguments(config_map), "alice", "developers")
    evidence_arguments: JsonObject = {
        "tool": "k8s_patch",
        "arguments": patch_arguments(config_map),
        "preconditions": preview.data["preconditions"],
    }
    assert (await tool_client.call("grant_evidence", evidence_arguments)).has_error("identity_missing")
    assert (await call_as(tool_client, "grant_evidence", evidence_arguments, "eve")).data["evidence"] == "cannot_tell"
    seen = await call_as(tool_client, "grant_evidence", evidence_arguments, "bob", "viewers")
    assert seen.data["evidence"] == "looks_not_applied"


async def test_identity_token_is_not_accepted_as_a_grant(
    tool_client: ToolClient, cluster: Cluster, config_map: str
) -> None:
    use_context(tool_client, f"{cluster.context}-skyflo", impersonate=True)
    now = time.time()
    identity = sign_token({"purpose": "identity", "kubernetes_user": "alice", "iat": now, "exp": now + 15})
    refused = await tool_client.call("k8s_patch", patch_arguments(config_map), {"skyflo/grant": identity})
    assert refused.has_error("grant_invalid")


async def test_impersonation_requires_an_identity_token(tool_client: ToolClient) -> None:
    assert tool_client.dispatcher is not None
    tool_client.dispatcher.impersonate = True
    assert (await tool_client.call("k8s_get", {"kind": "pods"})).has_error("identity_missing")
