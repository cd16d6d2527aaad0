"""Field managers: ownership and conflicts."""

import pytest
from api_harness import ApiHarness, config_map

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, text_at
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.kinds import CONFIG_MAP, DEPLOYMENT

CONTAINER: JsonObject = {"name": "app", "image": "app:1", "ports": [{"containerPort": 80}]}


def managers(body: JsonObject) -> dict[tuple[str, str], JsonObject]:
    return {
        (text_at(each, "manager"), text_at(each, "operation")): object_at(each, "fieldsV1")
        for each in objects_at(body, "metadata", "managedFields")
    }


def test_update_moves_ownership() -> None:
    harness = ApiHarness()
    harness.api.create(CONFIG_MAP, "shop", config_map(a="1", b="1"), manager="kim")
    after = harness.api.update(CONFIG_MAP, "shop", "settings", config_map(a="2"), manager="sam")
    assert managers(after) == {
        ("kim", "Update"): {"f:data": {}},
        ("sam", "Update"): {"f:data": {"f:a": {}}},
    }


def test_conflicts_are_grouped_by_manager() -> None:
    harness = ApiHarness()
    harness.api.create(CONFIG_MAP, "shop", config_map(a="1", b="1"), manager="kim")
    harness.api.update(CONFIG_MAP, "shop", "settings", config_map(a="1", b="2"), manager="sam")
    with pytest.raises(ApiError) as refused:
        harness.api.apply(CONFIG_MAP, "shop", "settings", config_map(a="3", b="3"), manager="skyflo")
    text = 'conflicts with "kim" using v1:\n- .data.a\nconflicts with "sam" using v1:\n- .data.b'
    assert str(refused.value) == f"Apply failed with 2 conflicts: {text}"


def test_conflict_names_subresource() -> None:
    harness = ApiHarness()
    labels: JsonObject = {"a": "b"}
    template: JsonObject = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    spec: JsonObject = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    body: JsonObject = {"metadata": {"name": "web"}, "spec": spec}
    harness.api.create(DEPLOYMENT, "shop", body, manager="kim")
    scaled: JsonObject = {**body, "spec": {**spec, "replicas": 2}}
    harness.api.update(DEPLOYMENT, "shop", "web", scaled, manager="kubectl", subresource="scale")
    with pytest.raises(
        ApiError, match=r'conflict with "kubectl" with subresource "scale" using apps/v1: \.spec\.replicas'
    ):
        harness.api.apply(DEPLOYMENT, "shop", "web", {"spec": {"replicas": 3}}, manager="skyflo")
    after, new = harness.api.apply(DEPLOYMENT, "shop", "web", {"spec": {"replicas": 3}}, manager="skyflo", force=True)
    assert (new, object_at(after, "spec")["replicas"]) == (False, 3)
    assert ("kubectl", "Update") not in managers(after)


def test_unchanged_apply_is_not_stored() -> None:
    harness = ApiHarness()
    harness.api.apply(CONFIG_MAP, "shop", "settings", config_map(a="1"), manager="skyflo")
    revision = harness.state.revision
    harness.api.apply(CONFIG_MAP, "shop", "settings", config_map(a="1"), manager="skyflo")
    assert harness.state.revision == revision
