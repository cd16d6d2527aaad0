"""k8s_describe shows the state of Argo CD's and Flux's objects, and previews say what a change of them sets off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
from cluster_namespace import KubeNamespace
from custom_kind import CRDS
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, text_at
from skyflo_tools.errors import ApiStatusError
from skyflo_tools.kubernetes.client import ApiRequest, json_request
from skyflo_tools.kubernetes.gitops_status import gitops_lines
from skyflo_tools.kubernetes.objects import KubeObject
from tests.support.waiting import eventually

APPLICATION: JsonObject = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Application",
    "metadata": {"name": "shop"},
    "spec": {"syncPolicy": {"automated": {"selfHeal": True}}},
    "status": {
        "sync": {"status": "OutOfSync", "revision": "4f2a"},
        "health": {"status": "Degraded"},
        "operationState": {
            "phase": "Failed",
            "message": "one or more objects failed to apply",
            "finishedAt": "2026-11-29T05:00:00Z",
            "syncResult": {
                "resources": [{"kind": "Job", "name": "migrate", "status": "SyncFailed", "message": "is immutable"}]
            },
        },
        "history": [
            {"id": 1, "revision": "9a1b", "deployedAt": "2026-11-27T05:00:00Z"},
            {"id": 2, "revision": "1e0c", "deployedAt": "2026-11-28T05:00:00Z"},
        ],
        "resources": [
            {"kind": "Service", "name": "web", "status": "Synced", "health": {"status": "Healthy"}},
            {"kind": "ConfigMap", "name": "web", "namespace": "shop", "status": "OutOfSync", "requiresPruning": True},
            {"kind": "Deployment", "name": "web", "namespace": "shop", "status": "Synced",
             "health": {"status": "Degraded", "message": "exceeded its progress deadline"}},
        ],
    },
}  # fmt: skip
LINES = [
    "sync: OutOfSync, revision 4f2a",
    "health: Degraded",
    "automated sync: on (selfHeal)",
    "latest operation: Failed: one or more objects failed to apply (2026-11-29T05:00:00Z)",
    "configmap/web in shop: OutOfSync",
    "deployment/web in shop: Synced, Degraded: exceeded its progress deadline",
    "job/migrate: not applied: is immutable",
]


@dataclass(frozen=True)
class _Kind:
    """A kind as its project defines it, with a schema for what the tests write, and an open one for the rest."""

    group: str
    version: str
    kind: str
    written: JsonObject

    @property
    def plural(self) -> str:
        return f"{self.kind.lower()}s"

    def definition(self) -> JsonObject:
        names: JsonObject = {"plural": self.plural, "singular": self.kind.lower(), "kind": self.kind}
        schema: JsonObject = {"openAPIV3Schema": {"type": "object", "properties": {**self.written, "status": OPEN}}}
        version: JsonObject = {"name": self.version, "served": True, "storage": True, "schema": schema}
        spec: JsonObject = {"group": self.group, "scope": "Namespaced", "names": names, "versions": [version]}
        annotations: JsonObject = {"api-approved.kubernetes.io": "unapproved, for a test"}
        return {"metadata": {"name": f"{self.plural}.{self.group}", "annotations": annotations}, "spec": spec}


OPEN: JsonObject = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
FLAG: JsonObject = {"type": "boolean"}
FIELDS: JsonObject = {"revision": {"type": "string"}, "prune": FLAG, "dryRun": FLAG, "source": OPEN}
SYNC: JsonObject = {"type": "object", "properties": FIELDS}
OPERATION: JsonObject = {"type": "object", "properties": {"sync": SYNC, "initiatedBy": OPEN}}
APPLICATIONS = _Kind("argoproj.io", "v1alpha1", "Application", {"spec": OPEN, "operation": OPERATION})
KUSTOMIZATIONS = _Kind(
    "kustomize.toolkit.fluxcd.io",
    "v1",
    "Kustomization",
    {"spec": {"type": "object", "properties": {"suspend": {"type": "boolean"}, "path": {"type": "string"}}}},
)


@asynccontextmanager
async def served(kind: _Kind, namespace: KubeNamespace, body: JsonObject) -> AsyncIterator[None]:
    """Define a kind in the cluster and create an object of it. An earlier test may still be removing the kind."""
    client = namespace.client

    async def succeeds(path: str, wanted: JsonObject) -> bool:
        try:
            await client.send(json_request("POST", path, wanted))
        except ApiStatusError as error:
            if error.status not in (404, 409):
                raise
            return False
        return True

    async def is_defined() -> bool:
        return await succeeds(CRDS, kind.definition())

    async def is_created() -> bool:
        return await succeeds(namespace.path(kind.plural), body)

    await eventually(is_defined, what=f"the definition of {kind.kind}")
    try:
        await eventually(is_created, what=f"the kind {kind.kind}")
        yield
    finally:
        await client.send(ApiRequest("DELETE", f"{CRDS}/{kind.plural}.{kind.group}"))


@pytest.mark.promise("bound")
async def test_application_is_described_synced_rolled_back_and_refreshed(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    one: JsonObject = {"kind": "applications.argoproj.io", "name": "shop", "namespace": namespace.name}
    async with served(APPLICATIONS, namespace, APPLICATION):
        found = await tool_client.read("k8s_describe", **one)
        assert found.data["gitops"][: len(LINES)] == LINES  # type: ignore[index]
        assert found.text.splitlines()[1] == "GitOps state:"
        assert "deployed 2026-11-28T05:00:00Z: revision 1e0c (history id 2)" in found.text
        for sync, level, warning in (
            ({"revision": "HEAD"}, "high", "starts a sync to revision HEAD; out of sync now: configmap/web in shop"),
            ({"revision": "HEAD", "prune": True}, "destructive", "no longer has: configmap/web in shop"),
            ({"revision": "HEAD", "dryRun": True}, "medium", "starts a dry run of a sync"),
            ({"revision": "1e0c"}, "high", "automated sync is on and syncs back to its source"),
        ):
            operation: JsonObject = {"patch": {"operation": {"sync": sync}}}
            preview = await tool_client.preview("k8s_patch", one | operation)
            assert warning in str(preview["warnings"])
            assert text_at(preview, "risk", "level") == level
        result = await tool_client.call_with_grant("k8s_patch", one | operation, preview["preconditions"])
        assert result.data["diff"] == preview["diff"]
        now = await namespace.get("applications", "shop")
        assert now.at("operation") == {"sync": {"revision": "1e0c"}}
        again = await tool_client.preview("k8s_patch", one | {"patch": {"operation": {"sync": {"revision": "HEAD"}}}})
        assert "replaces an operation that its controller has not taken yet" in str(again["warnings"])
        wrong = await tool_client.call("k8s_patch__preview", one | {"patch": {"operation": {"sync": {"prun": True}}}})
        assert wrong.has_error("unknown_field")
        refresh: JsonObject = {"annotations": {"argocd.argoproj.io/refresh": "hard"}}
        refreshed = await tool_client.preview("k8s_annotate", one | refresh)
        assert "compares it with its source again: automated sync is on" in str(refreshed["warnings"])
        await tool_client.change("k8s_annotate", one | refresh)
        assert (await namespace.get("applications", "shop")).annotations["argocd.argoproj.io/refresh"] == "hard"


@pytest.mark.promise("bound")
async def test_flux_object_is_suspended_reconciled_and_resumed(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    body: JsonObject = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization"}
    one: JsonObject = {"kind": "kustomizations", "name": "shop", "namespace": namespace.name}
    at: JsonObject = {"annotations": {"reconcile.fluxcd.io/requestedAt": "2026-11-29T05:00:00Z"}}
    async with served(KUSTOMIZATIONS, namespace, body | {"metadata": {"name": "shop"}, "spec": {"path": "./"}}):
        for tool, change, level, warning in (
            ("k8s_patch", {"patch": {"spec": {"suspend": True}}}, "medium", "later changes of its source wait"),
            ("k8s_annotate", at, "low", "it is suspended, so nothing happens until it is resumed"),
            ("k8s_patch", {"patch": {"spec": {"suspend": False}}}, "high", "it is reconciled at once"),
        ):
            preview = await tool_client.preview(tool, one | change)
            assert warning in str(preview["warnings"])
            assert text_at(preview, "risk", "level") == level
            result = await tool_client.call_with_grant(tool, one | change, preview["preconditions"])
            assert result.data["diff"] == preview["diff"]
        found = await namespace.get("kustomizations", "shop")
        assert found.at("spec", "suspend") is False
        assert found.annotations["reconcile.fluxcd.io/requestedAt"] == "2026-11-29T05:00:00Z"
        described = await tool_client.read("k8s_describe", **one)
        assert (
            "a reconciliation was requested (2026-11-29T05:00:00Z) that its controller has not done" in described.text
        )


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ({"spec": {"suspend": True}}, ["SUSPENDED: it is not reconciled until spec.suspend is false"]),
        ({"status": {"lastAppliedRevision": "main@1", "lastAttemptedRevision": "main@2"}},
         ["applied revision: main@1", "attempted revision: main@2, which is not the applied one"]),
        ({"metadata": {"generation": 2}, "status": {"observedGeneration": 1, "failures": 3}},
         ["its controller has not seen the latest change yet", "failures: 3"]),
        ({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "t2"}},
          "status": {"lastHandledReconcileAt": "t1"}},
         ["a reconciliation was requested (t2) that its controller has not done yet"]),
    ],
)  # fmt: skip
def test_flux_objects_tell_revisions_and_what_is_pending(body: JsonObject, lines: list[str]) -> None:
    kind: JsonObject = {"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization"}
    assert gitops_lines(KubeObject(kind | body))[:-1] == lines


def test_other_kinds_have_no_such_lines() -> None:
    assert gitops_lines(KubeObject({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"suspend": True}})) == []
