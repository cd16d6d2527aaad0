"""Changed paths and fingerprints of two versions of an object."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical
from skyflo_common.redaction import Fingerprints
from skyflo_tools.kubernetes.field_fingerprints import fingerprint_fields
from skyflo_tools.kubernetes.field_paths import changed_paths, format_path, leaf_paths, lost_paths, value_at
from skyflo_tools.kubernetes.pruning import comparable

KEYS = st.sampled_from(["a", "b", "name", "spec", "status", "metadata", "x.y", "#0"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
FINGERPRINTS = Fingerprints(b"a key for tests")


@given(OBJECTS, OBJECTS)
def test_equal_objects_have_no_changed_paths(before: JsonObject, after: JsonObject) -> None:
    same = canonical(comparable(before)) == canonical(comparable(after))
    assert same == (changed_paths(before, after) == [])


@given(OBJECTS, OBJECTS)
def test_changed_paths_differ_in_value_and_fingerprint(before: JsonObject, after: JsonObject) -> None:
    paths = changed_paths(before, after)
    for path in paths:
        assert value_at(comparable(before), path) != value_at(comparable(after), path) or differs_as_json(
            comparable(before), comparable(after), path
        )
    one, other = (fingerprint_fields(comparable(body), paths, FINGERPRINTS) for body in (before, after))
    assert (one == other) == (paths == [])


def differs_as_json(before: JsonObject, after: JsonObject, path: tuple[str, ...]) -> bool:
    """True == 1 in Python, but they differ in JSON."""
    return fingerprint_fields(before, [path], FINGERPRINTS) != fingerprint_fields(after, [path], FINGERPRINTS)


def test_list_items_are_paired_by_name() -> None:
    def pod(*containers: tuple[str, str]) -> JsonObject:
        listed: list[JsonValue] = [{"name": name, "image": image} for name, image in containers]
        return {"spec": {"containers": listed}}

    assert changed_paths(pod(("a", "1"), ("b", "1")), pod(("a", "1"), ("b", "2"))) == [
        (".spec", ".containers", "@b", ".image")
    ]
    assert changed_paths(pod(("b", "1")), pod(("a", "1"), ("b", "1"))) == [
        (".spec", ".containers", "@a", ".image"),
        (".spec", ".containers", "@a", ".name"),
    ]
    assert changed_paths(pod(("a", "1"), ("b", "1")), pod(("b", "1"), ("a", "1"))) == [(".spec", ".containers")]


def test_server_set_metadata_is_ignored() -> None:
    before: JsonObject = {"metadata": {"resourceVersion": "1", "generation": 1, "name": "a"}}
    after: JsonObject = {"metadata": {"resourceVersion": "2", "generation": 2, "name": "a"}}
    assert changed_paths(before, after) == []
    assert leaf_paths({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "data": {"k": ["v"]}}) == [
        (".data", ".k", "#0")
    ]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2}}, ["a.b"]),
        ({"a": {"b": 1}}, {}, ["a"]),
        ({"a": {"b": 1}}, {"a": {}}, ["a"]),
        ({"a": "x"}, {"a": ""}, ["a"]),
        ({"a": ""}, {}, []),
        ({"a": 1}, {"a": 2}, []),
        ({"a": [1, 2]}, {"a": [2, 1]}, []),
        ({"a": [1, 2, 3]}, {"a": [3]}, ["a[0]", "a[1]"]),
        ({"a": [{"name": "x", "e": 1}, {"name": "y"}]}, {"a": [{"name": "x"}]}, ["a[x].e", "a[y]"]),
        ({"a": [{"name": "x", "e": 1}]}, {"a": [{"name": "w"}, {"name": "x", "e": 2}]}, []),
        ({"a": {"b.c/d": 1}}, {"a": {"e": 1}}, ['a["b.c/d"]']),
    ],
)
def test_lost_paths_name_what_is_gone(before: JsonObject, after: JsonObject, expected: list[str]) -> None:
    assert [format_path(path) for path in lost_paths(before, after)] == expected
