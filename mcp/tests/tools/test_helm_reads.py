"""The Helm tools read releases of the real helm, of version 3 and 4, from their Secrets."""

import json

import pytest
from cluster_namespace import KubeNamespace
from helm_releases import HelmCommand, recorded_release, release_secret, simple_release
from tool_client import ToolClient

from skyflo_common.jsontypes import JsonObject, JsonValue, objects_at

CANARY = "canary-4711-of-the-database"
LICENSE = "LICENSE-canary-0815"


def by_name(data: JsonObject) -> dict[str, JsonValue]:
    return {f"{each['kind']}/{each['name']}": each["state"] for each in objects_at(data, "objects")}


async def test_a_release_is_read_from_its_secrets(
    tool_client: ToolClient, namespace: KubeNamespace, helm: HelmCommand
) -> None:
    await helm.install(namespace, greeting="hello", database__password=CANARY, license=LICENSE)
    await helm.install(namespace, greeting="bye", database__password=CANARY, license=LICENSE, hook="true")
    at: JsonObject = {"name": "web", "namespace": namespace.name}
    listed = await tool_client.read("helm_list_releases", namespace=namespace.name)
    (release,) = objects_at(listed.data, "releases")
    assert (release["revision"], release["status"], release["chart"]) == (2, "deployed", "shop-0.1.0")
    history = await tool_client.read("helm_history", **at)
    assert [each["status"] for each in objects_at(history.data, "revisions")] == ["deployed", "superseded"]
    values = await tool_client.read("helm_get_values", **at)
    assert "greeting: bye" in values.text
    every = await tool_client.read("helm_get_values", **at, all_values=True, revision=1)
    assert "image: web:1" in every.text
    assert "greeting: hello" in every.text
    manifest = await tool_client.read("helm_get_manifest", **at)
    assert manifest.data["objects"] == ["secret/web-login", "configmap/web-settings", "deployment/web"]
    hooks = await tool_client.read("helm_get_manifest", **at, hooks=True)
    assert "--- # pre-install, pre-upgrade, weight 0" in hooks.text
    diff = await tool_client.read("helm_diff", **at)
    assert "-  greeting: hello\n+  greeting: bye" in diff.text
    assert diff.data["changed"] == ["configmap/web-settings"]
    assert diff.data["added"] == ["configmap/web-before (hook pre-install, pre-upgrade)"]
    for result in (listed, history, values, every, manifest, hooks, diff):
        for secret in (CANARY, LICENSE):
            assert secret not in result.text + json.dumps(result.data)


async def test_status_tells_the_health_of_each_object_with_its_pods(
    tool_client: ToolClient, namespace: KubeNamespace, helm: HelmCommand
) -> None:
    await helm.install(namespace, image="web:crash", greeting=CANARY, database__password=CANARY)
    await namespace.delete("configmaps", "web-settings")
    await tool_client.read("k8s_rollout_status", name="web", namespace=namespace.name, wait_seconds=1)
    found = await tool_client.read("helm_status", name="web", namespace=namespace.name)
    states = by_name(found.data)
    assert states["ConfigMap/web-settings"] == "missing"
    assert states["Secret/web-login"] == "healthy"
    assert states["Deployment/web"] in ("progressing", "degraded")
    assert "pod/web-" in found.text
    assert "from web, revision 1." in found.text
    assert CANARY not in found.text + json.dumps(found.data)


async def test_release_of_helm_3_is_read(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("secrets", recorded_release("helm-3.17", namespace.name))
    at: JsonObject = {"name": "web", "namespace": namespace.name}
    found = await tool_client.read("helm_status", **at)
    assert by_name(found.data) == dict.fromkeys(["ConfigMap/web-settings", "Secret/web-login", "Deployment/web"],
                                                "missing")  # fmt: skip
    values = await tool_client.read("helm_get_values", **at)
    manifest = await tool_client.read("helm_get_manifest", **at)
    assert "image: web:1" in manifest.text
    assert "canary-of-helm-3" not in found.text + values.text + manifest.text


async def test_failed_and_unreadable_releases_are_explained(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("secrets", release_secret(simple_release("web", 1, "superseded")))
    failed = simple_release("web", 2, "failed") | {"info": {"status": "failed", "description": "no nodes left"}}
    await namespace.create("secrets", release_secret(failed))
    broken = release_secret(simple_release("other"))
    await namespace.create("secrets", broken | {"data": {"release": "bm90IGEgcmVsZWFzZQ=="}})
    found = await tool_client.read("helm_status", name="web", namespace=namespace.name)
    assert "no nodes left" in found.text
    assert "helm_rollback to revision 1" in found.text
    listed = await tool_client.read("helm_list_releases", namespace=namespace.name)
    assert "other revision 1: deployed, it could not be read" in listed.text
    refused = await tool_client.call("helm_status", {"name": "other", "namespace": namespace.name})
    assert refused.has_error("release_unreadable")


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("helm_status", {"name": "web"}, "not_found"),
        ("helm_status", {"name": "web", "namespace": "no-such-namespace"}, "not_found"),
        ("helm_list_releases", {"namespace": "no-such-namespace"}, "not_found"),
        ("helm_get_values", {"name": "--all"}, "bad_arguments"),
        ("helm_get_values", {"name": "web,owner!=helm"}, "bad_arguments"),
    ],
)
async def test_what_does_not_exist_is_an_error_with_a_next_step(
    tool_client: ToolClient, tool: str, arguments: JsonObject, code: str
) -> None:
    refused = await tool_client.call(tool, arguments)
    assert refused.has_error(code), refused.text
    assert refused.data["hint"]


async def test_only_revision_has_nothing_to_be_compared_with(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await namespace.create("secrets", release_secret(simple_release()))
    refused = await tool_client.call("helm_diff", {"name": "web", "namespace": namespace.name})
    assert refused.has_error("bad_arguments")
    absent = await tool_client.call("helm_get_values", {"name": "web", "namespace": namespace.name, "revision": 9})
    assert absent.has_error("not_found")
    assert "kept are: 1" in absent.text
