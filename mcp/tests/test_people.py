"""Whose rights count: the cluster's own RBAC, and its audit log, see the people."""

import json
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from toolkit import Result, Toolbox, World, signed

from skyflo_tools.grants.claims import IDENTITY
from skyflo_tools.jsontypes import JsonObject, JsonValue, dig
from skyflo_tools.kubernetes.client import KubeClient
from tests.support.services import Cluster


@pytest.fixture
async def shop(cluster: Cluster, api: KubeClient) -> World:
    """The namespace in which alice edits and bob views, on clusters of our own."""
    if f"{cluster.context}-alice" not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: people: TEST_KUBECONFIG is a cluster without them")
    return World(api, "shop")


@pytest.fixture
async def note(shop: World) -> AsyncIterator[str]:
    """A ConfigMap in shop."""
    name = f"note-{secrets.token_hex(4)}"
    await shop.config_map(name, a="1")
    yield name
    await shop.delete("configmaps", name)


def become(toolbox: Toolbox, context: str, *, impersonate: bool = False) -> None:
    assert toolbox.door is not None
    toolbox.door.services.clusters.setting = context
    toolbox.door.impersonate = impersonate


def patched(name: str) -> JsonObject:
    return {"kind": "cm", "name": name, "namespace": "shop", "patch": {"data": {"a": "2"}}}


async def asked_by(toolbox: Toolbox, tool: str, arguments: JsonObject, user: str, *groups: str) -> Result:
    now = time.time()
    claims: JsonObject = {"purpose": "identity", "kubernetes_user": user, "kubernetes_groups": list(groups)}
    return await toolbox.call(tool, arguments, {IDENTITY: signed(claims | {"iat": now, "exp": now + 15})})


@pytest.mark.promise("fail-closed")
async def test_who_may_only_view_gets_an_unchecked_preview_and_no_execution(
    toolbox: Toolbox, cluster: Cluster, note: str
) -> None:
    become(toolbox, f"{cluster.context}-bob")
    preview = await toolbox.preview("k8s_patch", patched(note))
    assert dig(preview, "allowed", "allowed") is False
    assert "not checked by the API server" in str(preview["no_preview"])
    assert "+  a: '2'" in str(preview["diff"])
    refused = await toolbox.granted("k8s_patch", patched(note), preview["preconditions"])
    assert refused.has("forbidden")
    become(toolbox, f"{cluster.context}-alice,")
    now_allowed = await toolbox.granted("k8s_patch", patched(note), _at(preview, f"{cluster.context}-alice"))
    assert now_allowed.has("stale_preview")


def _at(preview: JsonObject, context: str) -> JsonValue:
    """The same preconditions for the same cluster under another context's name."""
    text = json.dumps(preview["preconditions"]).replace("-bob", "-alice")
    assert context in text
    found: JsonValue = json.loads(text)
    return found


@pytest.mark.promise("reason-travels")
async def test_the_audit_log_sees_the_person(toolbox: Toolbox, cluster: Cluster, note: str) -> None:
    become(toolbox, f"{cluster.context}-skyflo", impersonate=True)
    preview = await asked_by(toolbox, "k8s_patch__preview", patched(note), "alice", "developers")
    assert not preview.is_error, preview.text
    result = await toolbox.granted(
        "k8s_patch",
        patched(note),
        preview.data["preconditions"],
        jti="approval-42",
        kubernetes_user="alice",
        kubernetes_groups=["developers"],
    )
    assert not result.is_error, result.text
    lines = [json.loads(line) for line in cluster.audit_log.read_text().splitlines() if note in line]
    written = next(each for each in lines if each["verb"] == "patch" and "dryRun" not in each["requestURI"])
    assert written["user"]["username"] == "skyflo"
    assert written["impersonatedUser"]["username"] == "alice"
    assert written["impersonatedUser"]["extra"] == {"approval": ["approval-42"]}
    assert "approver/ann@example.org" in written["userAgent"]


@pytest.mark.promise("authorised")
async def test_impersonation_uses_the_persons_rights(toolbox: Toolbox, cluster: Cluster, note: str) -> None:
    become(toolbox, f"{cluster.context}-skyflo", impersonate=True)
    one: JsonObject = {"kind": "cm", "name": note, "namespace": "shop"}
    assert (await toolbox.call("k8s_get", one)).has("identity_missing")
    assert (await asked_by(toolbox, "k8s_get", one, "eve")).has("forbidden")
    assert not (await asked_by(toolbox, "k8s_get", one, "bob", "viewers")).is_error
    assert (await asked_by(toolbox, "k8s_get", one, "system:admin", "system:masters")).has("grant_invalid")
    assert (await asked_by(toolbox, "k8s_get", one, "eve", "system:masters")).has("grant_invalid")
    preview = await asked_by(toolbox, "k8s_patch__preview", patched(note), "alice", "developers")
    nobody = await toolbox.granted("k8s_patch", patched(note), preview.data["preconditions"])
    assert nobody.has("grant_invalid")


@pytest.mark.promise("fail-closed")
async def test_without_impersonation_nothing_is_done_for_a_person(
    toolbox: Toolbox, cluster: Cluster, note: str
) -> None:
    """Our own rights may be more than that person's."""
    become(toolbox, f"{cluster.context}-alice")
    one: JsonObject = {"kind": "cm", "name": note, "namespace": "shop"}
    assert (await asked_by(toolbox, "k8s_get", one, "eve")).has("identity_refused")
    assert (await asked_by(toolbox, "k8s_patch__preview", patched(note), "eve")).has("identity_refused")
    preview = await toolbox.preview("k8s_patch", patched(note))
    refused = await toolbox.granted("k8s_patch", patched(note), preview["preconditions"], kubernetes_user="eve")
    assert refused.has("identity_refused")


@pytest.mark.promise("authorised")
async def test_evidence_is_what_the_one_who_asks_may_see(toolbox: Toolbox, cluster: Cluster, note: str) -> None:
    become(toolbox, f"{cluster.context}-skyflo", impersonate=True)
    preview = await asked_by(toolbox, "k8s_patch__preview", patched(note), "alice", "developers")
    asked: JsonObject = {
        "tool": "k8s_patch",
        "arguments": patched(note),
        "preconditions": preview.data["preconditions"],
    }
    assert (await toolbox.call("grant_evidence", asked)).has("identity_missing")
    assert (await asked_by(toolbox, "grant_evidence", asked, "eve")).data["evidence"] == "cannot_tell"
    seen = await asked_by(toolbox, "grant_evidence", asked, "bob", "viewers")
    assert seen.data["evidence"] == "looks_not_applied"


async def test_a_grant_is_no_identity_and_an_identity_no_grant(toolbox: Toolbox, cluster: Cluster, note: str) -> None:
    become(toolbox, f"{cluster.context}-skyflo", impersonate=True)
    now = time.time()
    identity = signed({"purpose": "identity", "kubernetes_user": "alice", "iat": now, "exp": now + 15})
    refused = await toolbox.call("k8s_patch", patched(note), {"skyflo/grant": identity})
    assert refused.has("grant_invalid")
