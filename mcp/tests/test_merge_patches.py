"""Predicted results of patches, compared with what the API server makes of them."""

import pytest
from cluster_namespace import KubeNamespace, deployment_manifest

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical
from skyflo_tools.kubernetes.client import ApiRequest
from skyflo_tools.kubernetes.field_paths import FieldPath, changed_paths
from skyflo_tools.merge_patches import apply_merge_patch, apply_strategic_patch


def test_merge_patch_replaces_and_removes_members() -> None:
    assert apply_merge_patch({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": None, "e": 3}, "d": [1]}) == {
        "a": {"c": 2, "e": 3},
        "d": [1],
    }


def of_pod(**spec: JsonValue) -> JsonObject:
    return {"spec": {"template": {"spec": spec}}}


PATCHES: dict[str, JsonObject] = {
    "image": of_pod(containers=[{"name": "app", "image": "web:2"}]),
    "removed container": of_pod(containers=[{"name": "side", "$patch": "delete"}]),
    "variable": of_pod(containers=[{"name": "app", "env": [{"name": "A", "value": "2"}]}]),
    "removed variable": of_pod(containers=[{"name": "app", "env": [{"name": "A", "$patch": "delete"}]}]),
    "replaced variables": of_pod(
        containers=[{"name": "app", "env": [{"$patch": "replace"}, {"name": "C", "value": "1"}]}]
    ),
    "port": of_pod(containers=[{"name": "app", "ports": [{"containerPort": 80, "protocol": "TCP", "name": "http"}]}]),
    "arguments": of_pod(containers=[{"name": "app", "args": ["x"]}]),
    "strategy": {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
    "replaced labels": {"metadata": {"labels": {"$patch": "replace", "a": "b"}}},
    "removed labels": {"metadata": {"labels": None}},
    "finalizer": {"metadata": {"finalizers": ["example.org/b"]}},
    "removed finalizer": {"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.org/a"]}},
}


def is_written_by_controllers(path: FieldPath) -> bool:
    return path[0] == ".status" or ".annotations" in path


@pytest.mark.parametrize("name", PATCHES)
async def test_prediction_of_a_strategic_patch_is_what_the_api_server_makes_of_it(
    namespace: KubeNamespace, name: str
) -> None:
    body = deployment_manifest(labels={"x": "y"})
    app: JsonObject = {"name": "app", "image": "web:1", "args": ["a", "b"], "env": [{"name": "A", "value": "1"}]}
    app |= {"ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81, "protocol": "TCP"}]}
    containers: list[JsonValue] = [app, {"name": "side", "image": "side:1"}]
    body["spec"]["template"]["spec"]["containers"] = containers
    body["metadata"]["finalizers"] = ["example.org/a"]
    live = (await namespace.create("deployments", body)).body
    path = namespace.path("deployments", "web")
    content_type = "application/strategic-merge-patch+json"
    try:
        request = ApiRequest("PATCH", path, {"dryRun": "All"}, canonical(PATCHES[name]), content_type)
        after = (await namespace.client.send(request)).json()
        changed = changed_paths(apply_strategic_patch(live, PATCHES[name]), after)
        assert [path for path in changed if not is_written_by_controllers(path)] == []
    finally:
        await namespace.patch("deployments", "web", {"metadata": {"finalizers": None}})
