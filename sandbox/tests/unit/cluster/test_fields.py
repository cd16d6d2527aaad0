"""Field managers: what an update takes, what an apply may not take."""

import pytest
from wirework import Wire, configured

from skyflo_sandbox.cluster.fieldpaths import compare, decode, encode, paths_of, spelt
from skyflo_sandbox.cluster.kinds import CONFIG_MAP, DEPLOYMENT, POD, SERVICE
from skyflo_sandbox.cluster.statuses import Refused
from skyflo_sandbox.jsontypes import JsonObject, object_at, objects_at, text_at

CONTAINER: JsonObject = {"name": "app", "image": "app:1", "ports": [{"containerPort": 80}]}


def managers(body: JsonObject) -> dict[tuple[str, str], JsonObject]:
    return {
        (text_at(each, "manager"), text_at(each, "operation")): object_at(each, "fieldsV1")
        for each in objects_at(body, "metadata", "managedFields")
    }


def test_fields_are_spelt_as_kubernetes_spells_them() -> None:
    fields = encode(paths_of(POD, {"spec": {"containers": [CONTAINER]}}))
    port: JsonObject = {".": {}, "f:containerPort": {}}
    container: JsonObject = {
        ".": {},
        "f:image": {},
        "f:name": {},
        "f:ports": {'k:{"containerPort":80,"protocol":"TCP"}': port},
    }
    assert fields == {"f:spec": {"f:containers": {'k:{"name":"app"}': container}}}
    assert encode(decode(fields)) == fields


def test_a_selector_is_one_field() -> None:
    assert paths_of(DEPLOYMENT, {"spec": {"selector": {"matchLabels": {"a": "b"}}}}) == {("f:spec", "f:selector")}


def test_a_path_is_told_as_a_person_would_write_it() -> None:
    path = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:nodePort")
    assert spelt(path) == '.spec.ports[port=80,protocol="TCP"].nodePort'
    assert spelt(("f:metadata", "f:finalizers", 'v:"a"')) == '.metadata.finalizers[="a"]'


def test_garbled_fields_own_nothing() -> None:
    garbled: JsonObject = {"spec": {}, "k:nonsense": {}, "k:1": {}, "f:a": 1, "f:b": {}, "v:2": {}}
    assert decode(garbled) == {("f:b",), ("v:2",)}


def test_objects_are_compared_by_the_keys_of_their_lists() -> None:
    before: JsonObject = {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}], "selector": {"a": "b"}}}
    after: JsonObject = {"spec": {"ports": [{"port": 81}, {"port": 80, "name": "b"}], "selector": {"a": "c"}}}
    found = compare(SERVICE, before, after)
    http = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name")
    assert (found.modified, found.added, found.removed) == ({http, ("f:spec", "f:selector")}, frozenset(), frozenset())


def test_what_one_changes_is_no_longer_anothers() -> None:
    wire = Wire()
    wire.api.create(CONFIG_MAP, "shop", configured(a="1", b="1"), manager="kim")
    after = wire.api.update(CONFIG_MAP, "shop", "settings", configured(a="2"), manager="sam")
    assert managers(after) == {
        ("kim", "Update"): {"f:data": {}},
        ("sam", "Update"): {"f:data": {"f:a": {}}},
    }


def test_a_conflict_of_several_fields_lists_them_by_manager() -> None:
    wire = Wire()
    wire.api.create(CONFIG_MAP, "shop", configured(a="1", b="1"), manager="kim")
    wire.api.update(CONFIG_MAP, "shop", "settings", configured(a="1", b="2"), manager="sam")
    with pytest.raises(Refused) as refused:
        wire.api.apply(CONFIG_MAP, "shop", "settings", configured(a="3", b="3"), manager="skyflo")
    text = 'conflicts with "kim" using v1:\n- .data.a\nconflicts with "sam" using v1:\n- .data.b'
    assert str(refused.value) == f"Apply failed with 2 conflicts: {text}"


def test_a_conflict_with_a_scale_names_the_subresource() -> None:
    wire = Wire()
    labels: JsonObject = {"a": "b"}
    template: JsonObject = {"metadata": {"labels": labels}, "spec": {"containers": [CONTAINER]}}
    spec: JsonObject = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    body: JsonObject = {"metadata": {"name": "web"}, "spec": spec}
    wire.api.create(DEPLOYMENT, "shop", body, manager="kim")
    scaled: JsonObject = {**body, "spec": {**spec, "replicas": 2}}
    wire.api.update(DEPLOYMENT, "shop", "web", scaled, manager="kubectl", subresource="scale")
    with pytest.raises(
        Refused, match=r'conflict with "kubectl" with subresource "scale" using apps/v1: \.spec\.replicas'
    ):
        wire.api.apply(DEPLOYMENT, "shop", "web", {"spec": {"replicas": 3}}, manager="skyflo")
    after, new = wire.api.apply(DEPLOYMENT, "shop", "web", {"spec": {"replicas": 3}}, manager="skyflo", force=True)
    assert (new, object_at(after, "spec")["replicas"]) == (False, 3)
    assert ("kubectl", "Update") not in managers(after)


def test_an_apply_that_changes_nothing_is_not_stored() -> None:
    wire = Wire()
    wire.api.apply(CONFIG_MAP, "shop", "settings", configured(a="1"), manager="skyflo")
    revision = wire.state.revision
    wire.api.apply(CONFIG_MAP, "shop", "settings", configured(a="1"), manager="skyflo")
    assert wire.state.revision == revision
