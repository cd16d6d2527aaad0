"""Field paths: encoding and comparison."""

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster.field_paths import compare, decode, encode, format_path, paths_of
from skyflo_sandbox.cluster.kinds import DEPLOYMENT, POD, SERVICE

CONTAINER: JsonObject = {"name": "app", "image": "app:1", "ports": [{"containerPort": 80}]}


def test_paths_are_encoded_as_fields_v1() -> None:
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


def test_selector_is_one_field() -> None:
    assert paths_of(DEPLOYMENT, {"spec": {"selector": {"matchLabels": {"a": "b"}}}}) == {("f:spec", "f:selector")}


def test_path_is_formatted_for_messages() -> None:
    path = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:nodePort")
    assert format_path(path) == '.spec.ports[port=80,protocol="TCP"].nodePort'
    assert format_path(("f:metadata", "f:finalizers", 'v:"a"')) == '.metadata.finalizers[="a"]'


def test_malformed_fields_are_ignored() -> None:
    garbled: JsonObject = {"spec": {}, "k:nonsense": {}, "k:1": {}, "f:a": 1, "f:b": {}, "v:2": {}}
    assert decode(garbled) == {("f:b",), ("v:2",)}


def test_lists_are_compared_by_key() -> None:
    before: JsonObject = {"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81}], "selector": {"a": "b"}}}
    after: JsonObject = {"spec": {"ports": [{"port": 81}, {"port": 80, "name": "b"}], "selector": {"a": "c"}}}
    found = compare(SERVICE, before, after)
    http = ("f:spec", "f:ports", 'k:{"port":80,"protocol":"TCP"}', "f:name")
    assert (found.modified, found.added, found.removed) == ({http, ("f:spec", "f:selector")}, frozenset(), frozenset())
