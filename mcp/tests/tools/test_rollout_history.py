"""k8s_rollout_history lists revisions and shows what changed between two of them."""

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import CallResult, ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue
from tests.support.waiting import eventually

CAUSE = "kubernetes.io/change-cause"


async def history(client: ToolClient, namespace: KubeNamespace, kind: str, **more: JsonValue) -> CallResult:
    return await client.read("k8s_rollout_history", kind=kind, name="web", namespace=namespace.name, **more)


async def wait_for_revisions(client: ToolClient, namespace: KubeNamespace, kind: str, count: int) -> None:
    async def are_there() -> bool:
        return len((await history(client, namespace, kind)).data["revisions"]) == count

    await eventually(are_there, what=f"{count} revisions")


def change(container: JsonObject, cause: str) -> JsonObject:
    template: JsonObject = {"spec": {"containers": [{"name": "app", **container}]}}
    return {"metadata": {"annotations": {CAUSE: cause}}, "spec": {"template": template}}


@pytest.mark.parametrize(
    ("plural", "kind"),
    [("deployments", "Deployment"), ("statefulsets", "StatefulSet"), ("daemonsets", "DaemonSet")],
)
async def test_revisions_are_listed_and_compared(
    tool_client: ToolClient, namespace: KubeNamespace, plural: str, kind: str
) -> None:
    body = deployment_manifest(replicas=1, annotations={CAUSE: "first"}) | {"kind": kind}
    if kind == "DaemonSet":
        body["spec"].pop("replicas")  # type: ignore[union-attr,call-arg]
    await namespace.create(plural, body)
    await wait_for_revisions(tool_client, namespace, kind, 1)
    only = await history(tool_client, namespace, kind)
    assert (only.data["compared"], only.data["diff"]) == ([], "")
    assert "nothing to compare" in only.text
    await namespace.patch(plural, "web", change({"image": "web:2"}, "new image"))
    await wait_for_revisions(tool_client, namespace, kind, 2)
    await namespace.patch(plural, "web", change({"image": "web:2", "args": ["-v"]}, "more log"))
    await wait_for_revisions(tool_client, namespace, kind, 3)
    found = await history(tool_client, namespace, kind)
    newest = found.data["revisions"][0]
    assert (newest["revision"], newest["newest"], newest["images"]) == (3, True, ["app=web:2"])
    assert [each["change_cause"] for each in found.data["revisions"]] == ["more log", "new image", "first"]
    assert found.data["compared"] == [2, 3]
    assert "+    - -v" in found.text
    assert "web:1" not in found.data["diff"]
    older = await history(tool_client, namespace, kind, revision=2)
    assert older.data["compared"] == [1, 2]
    changed = [line for line in older.data["diff"].splitlines() if "image:" in line]
    assert changed == ["-  - image: web:1", "+  - image: web:2"]
    whole = await history(tool_client, namespace, kind, revision=3, compare_with=1)
    assert "+    - -v" in whole.data["diff"]
    assert "web:2" in whole.data["diff"]
    assert "pod-template-hash" not in whole.text
    missing = await tool_client.call(
        "k8s_rollout_history", {"kind": kind, "name": "web", "namespace": namespace.name, "revision": 9}
    )
    assert missing.has_error("bad_arguments")
    assert "the revisions that are kept: 1, 2, 3" in missing.text


@pytest.mark.promise("secrets")
async def test_secrets_in_templates_stay_masked_but_their_change_shows(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    await namespace.create_deployment(replicas=0)
    await wait_for_revisions(tool_client, namespace, "deploy", 1)
    for number, value in enumerate(("canary-4711", "canary-4712"), 2):
        env: JsonValue = [{"name": "DB_PASSWORD", "value": value}]
        await namespace.patch("deployments", "web", change({"image": "web:1", "env": env, "args": [value]}, value))
        await wait_for_revisions(tool_client, namespace, "deploy", number)
    found = await history(tool_client, namespace, "deploy")
    assert "canary" not in found.text + str(found.data)
    assert "+      value:" in found.data["diff"]
    assert "-    - " in found.data["diff"]


async def test_revisions_that_were_not_all_read_are_shown_and_said(
    tool_client: ToolClient, namespace: KubeNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    await namespace.create_deployment(replicas=0)
    await wait_for_revisions(tool_client, namespace, "deploy", 1)
    await namespace.patch("deployments", "web", change({"image": "web:2"}, "new image"))
    await wait_for_revisions(tool_client, namespace, "deploy", 2)
    monkeypatch.setattr("skyflo_tools.kubernetes.listing.PAGE_SIZE", 1)
    monkeypatch.setattr("skyflo_tools.kubernetes.revisions.MAX_REVISIONS_READ", 1)
    found = await history(tool_client, namespace, "deploy")
    assert [each["newest"] for each in found.data["revisions"]] == [False]
    assert found.data["notes"] == ["not all revisions were read: only the first 1 replicasets by name were read"]
    one: JsonObject = {"name": "web", "namespace": namespace.name}
    assert (await tool_client.call("k8s_rollout_undo__preview", one)).has_error("revisions_unread")
