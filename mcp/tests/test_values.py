"""Touched values, manifests, discovery: the parts that think, without a cluster."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyflo_tools.errors import BadArguments
from skyflo_tools.jsontypes import JsonObject, JsonValue, canonical
from skyflo_tools.kubernetes import discovery
from skyflo_tools.kubernetes.manifests import parse
from skyflo_tools.kubernetes.paths import Resource
from skyflo_tools.kubernetes.pruning import comparable
from skyflo_tools.kubernetes.rendering import bounded_lines, diff
from skyflo_tools.kubernetes.touched import fingerprint, leaves, touched, value_at
from skyflo_tools.plan import merged
from skyflo_tools.redaction import Fingerprints

KEYS = st.sampled_from(["a", "b", "name", "spec", "status", "metadata", "x.y", "#0"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=4)
PRINTS = Fingerprints(b"a key for tests")


@given(OBJECTS, OBJECTS)
def test_nothing_is_touched_exactly_where_objects_are_equal(before: JsonObject, after: JsonObject) -> None:
    same = canonical(comparable(before)) == canonical(comparable(after))
    assert same == (touched(before, after) == [])


@given(OBJECTS, OBJECTS)
def test_what_is_touched_differs_and_fingerprints_tell(before: JsonObject, after: JsonObject) -> None:
    paths = touched(before, after)
    for path in paths:
        assert value_at(comparable(before), path) != value_at(comparable(after), path) or canonical_differs(
            comparable(before), comparable(after), path
        )
    one, other = (fingerprint(comparable(body), paths, PRINTS) for body in (before, after))
    assert (one == other) == (paths == [])


def canonical_differs(before: JsonObject, after: JsonObject, path: tuple[str, ...]) -> bool:
    """True and 1 are equal to Python, not to JSON."""
    return fingerprint(before, [path], PRINTS) != fingerprint(after, [path], PRINTS)


def test_items_of_a_list_belong_together_by_name() -> None:
    def pod(*containers: tuple[str, str]) -> JsonObject:
        listed: list[JsonValue] = [{"name": name, "image": image} for name, image in containers]
        return {"spec": {"containers": listed}}

    assert touched(pod(("a", "1"), ("b", "1")), pod(("a", "1"), ("b", "2"))) == [
        (".spec", ".containers", "@b", ".image")
    ]
    assert touched(pod(("b", "1")), pod(("a", "1"), ("b", "1"))) == [(".spec", ".containers", "@a")]
    assert touched(pod(("a", "1"), ("b", "1")), pod(("b", "1"), ("a", "1"))) == [(".spec", ".containers")]


def test_bookkeeping_is_not_touched() -> None:
    before: JsonObject = {"metadata": {"resourceVersion": "1", "generation": 1, "name": "a"}, "status": {"x": 1}}
    after: JsonObject = {"metadata": {"resourceVersion": "2", "generation": 2, "name": "a"}, "status": {"x": 2}}
    assert touched(before, after) == []
    assert leaves({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "data": {"k": ["v"]}}) == [
        (".data", ".k", "#0")
    ]


@pytest.mark.promise("no-injection")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: &x 1\nb: *x", "aliases"),
        ("a: [", "not YAML at line"),
        ("kind: ConfigMap", "no apiVersion"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}", "no metadata.name"),
        ("- 1", "not a Kubernetes object"),
        ("!!python/object/apply:os.system ['id']", "not YAML"),
        ("# nothing", "0 objects"),
        ("---\n".join("apiVersion: v1\nkind: A\nmetadata: {name: b}\n" for _ in range(51)), "51 objects"),
    ],
)
def test_manifests_that_are_refused(text: str, words: str) -> None:
    with pytest.raises(BadArguments, match=words):
        parse(text)


def test_manifests_lose_bookkeeping_and_lists_are_taken_apart() -> None:
    text = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: A, metadata: {name: a, uid: u, resourceVersion: "1", managedFields: []}, status: {x: 1}}
- {apiVersion: v1, kind: B, metadata: {name: b}, data: {day: 2026-01-02, yes_: "no"}}
"""
    first, second = parse(text)
    assert first == {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}
    assert second["data"] == {"day": "2026-01-02", "yes_": "no"}


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("pods", "Pod"),
        ("po", "Pod"),
        ("Pod", "Pod"),
        ("v1/Pod", "Pod"),
        ("pods.metrics.k8s.io", "PodMetrics"),
        ("metrics.k8s.io/v1beta1/pods", "PodMetrics"),
        ("podmetrics", "PodMetrics"),
        ("deploy.apps", "Deployment"),
        ("deployments.v1.apps", "Deployment"),
        ("deploy.batch", None),
        ("po/d", None),
        ("", None),
    ],
)
def test_kinds_have_many_names(asked: str, found: str | None) -> None:
    known = [
        Resource("", "v1", "Pod", "pods", True, "pod", ("po",)),
        Resource("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", True, "pod"),
        Resource("apps", "v1", "Deployment", "deployments", True, "deployment", ("deploy",)),
    ]
    match = discovery.match(known, asked)
    assert (match.kind if match else None) == found


def test_a_merge_patch_merges() -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 1}, {"a": {"b": None, "e": 3}, "d": [1]}) == {
        "a": {"c": 2, "e": 3},
        "d": [1],
    }


@pytest.mark.promise("bounded")
def test_lines_and_diffs_are_bounded() -> None:
    lines = bounded_lines([f"line {number}" for number in range(1000)], 100, "pods", "narrow with a selector")
    assert lines.splitlines()[-1] == "… 987 more pods, narrow with a selector"
    assert bounded_lines(["x" * 500], 100, "lines").endswith("x… 400 more bytes")
    large: JsonObject = {"data": {f"key{number}": "x" * 100 for number in range(2000)}}
    text = diff(large, None, "one", PRINTS)
    assert len(text.encode()) < 50 * 1024
    assert "more diff lines" in text
