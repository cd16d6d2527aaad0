"""k8s_rollout_undo goes back to a revision; k8s_rollout_pause and k8s_rollout_resume hold up and release a rollout."""

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, number_at, object_at, objects_at, text_at
from skyflo_tools.kubernetes.objects import KubeObject
from tests.support.waiting import eventually

CAUSE = "kubernetes.io/change-cause"


async def create_revisions(namespace: KubeNamespace, kind: str, plural: str) -> KubeObject:
    """Create a workload and give it three revisions, each with an image and a reason of its own."""
    body = deployment_manifest(replicas=1) | {"kind": kind}
    if kind == "DaemonSet":
        del object_at(body, "spec")["replicas"]
    await namespace.create(plural, body)
    for number in (1, 2, 3):
        template: JsonObject = {"spec": {"containers": [{"name": "app", "image": f"web:{number}"}]}}
        annotations: JsonObject = {CAUSE: f"release {number}"}
        await namespace.patch(plural, "web", {"metadata": {"annotations": annotations}, "spec": {"template": template}})

        async def is_recorded(wanted: int = number) -> bool:
            seen = await namespace.get(plural, "web")
            kept = await namespace.list_objects("replicasets" if kind == "Deployment" else "controllerrevisions")
            images = str([each.body for each in kept])
            observed = number_at(seen.body, "status", "observedGeneration")
            return observed == number_at(seen.body, "metadata", "generation") and f"web:{wanted}'" in images

        await eventually(is_recorded)
    return await namespace.get(plural, "web")


def image_of(workload: KubeObject) -> str:
    return text_at(objects_at(workload.body, "spec", "template", "spec", "containers")[0], "image")


@pytest.mark.promise("bound")
@pytest.mark.parametrize(
    ("kind", "plural"), [("Deployment", "deployments"), ("StatefulSet", "statefulsets"), ("DaemonSet", "daemonsets")]
)
async def test_undo_restores_the_template_of_a_revision(
    tool_client: ToolClient, namespace: KubeNamespace, kind: str, plural: str
) -> None:
    before = await create_revisions(namespace, kind, plural)
    one: JsonObject = {"kind": kind, "name": "web", "namespace": namespace.name}
    preview = await tool_client.preview("k8s_rollout_undo", one)
    assert str(preview["summary"]).startswith(f"Roll back {kind.lower()}/web in {namespace.name} from revision 3 to 2")
    assert "-      - image: web:3" in str(preview["diff"]).replace("-        image", "-      - image")
    assert text_at(preview, "risk", "level") == "medium"
    result = await tool_client.call_with_grant("k8s_rollout_undo", one, preview["preconditions"])
    assert result.data["diff"] == preview["diff"]
    after = await namespace.get(plural, "web")
    expected = {**object_at(before.body, "spec"), "template": object_at(after.body, "spec", "template")}
    assert (image_of(before), image_of(after)) == ("web:3", "web:2")
    assert object_at(after.body, "spec") == expected
    if kind == "Deployment":
        assert after.annotations[CAUSE] == "release 2"
        assert "pod-template-hash" not in str(object_at(after.body, "spec"))
    await tool_client.change("k8s_rollout_undo", one | {"to_revision": 1})
    assert image_of(await namespace.get(plural, "web")) == "web:1"
    missing = await tool_client.call("k8s_rollout_undo__preview", one | {"to_revision": 99})
    assert missing.has_error("bad_arguments")
    assert "no revision 99; the revisions that are kept: " in missing.text


@pytest.mark.promise("fresh")
async def test_undo_is_stale_if_the_template_has_changed(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_revisions(namespace, "Deployment", "deployments")
    one: JsonObject = {"name": "web", "namespace": namespace.name}
    preview = await tool_client.preview("k8s_rollout_undo", one)
    template: JsonObject = {"metadata": {"annotations": {"note": "hello"}}}
    await namespace.patch("deployments", "web", {"spec": {"template": template}})
    result = await tool_client.call_with_grant("k8s_rollout_undo", one, preview["preconditions"])
    assert result.has_error("stale_preview")
    assert image_of(await namespace.get("deployments", "web")) == "web:3"


@pytest.mark.promise("bound")
async def test_pause_and_resume_do_what_their_previews_show(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=1)
    one: JsonObject = {"name": "web", "namespace": namespace.name}
    for tool, sign, paused, level in (("pause", "+", True, "low"), ("resume", "-", None, "medium")):
        preview = await tool_client.preview(f"k8s_rollout_{tool}", one)
        assert f"{sign}  paused: true" in str(preview["diff"])
        assert text_at(preview, "risk", "level") == level
        result = await tool_client.call_with_grant(f"k8s_rollout_{tool}", one, preview["preconditions"])
        assert result.data["diff"] == preview["diff"]
        assert (await namespace.get("deployments", "web")).at("spec", "paused") is paused
        repeated = await tool_client.call(f"k8s_rollout_{tool}__preview", one)
        assert repeated.has_error("no_difference")


async def test_paused_rollout_is_named_and_not_rolled_back(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create_deployment(replicas=1)
    one: JsonObject = {"name": "web", "namespace": namespace.name}
    await tool_client.change("k8s_rollout_pause", one)
    refused = await tool_client.call("k8s_rollout_undo__preview", one)
    assert refused.has_error("bad_arguments")
    assert "k8s_rollout_resume" in refused.text
    restart = await tool_client.preview("k8s_rollout_restart", one)
    assert "the rollout is paused: its pods change only when it is resumed" in str(restart["warnings"])


async def test_only_deployments_are_paused(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    refused = await tool_client.call(
        "k8s_rollout_pause__preview", {"kind": "sts", "name": "db", "namespace": namespace.name}
    )
    assert refused.has_error("bad_arguments")
    assert "only that of a Deployment" in refused.text
