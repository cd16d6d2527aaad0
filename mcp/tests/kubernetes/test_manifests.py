"""Manifests are parsed, cleaned and validated."""

import pytest

from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.manifests import parse_manifests


@pytest.mark.promise("no-injection")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("apiVersion: v1\nkind: A\nmetadata: {name: 123}", "metadata.name is not a string"),
        ("a: [", "not YAML at line 2"),
        ("kind: ConfigMap", "no apiVersion"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: a-}", "no metadata.name"),
        ("- 1", "not a Kubernetes object"),
        ("!!python/object/apply:os.system ['id']", "not a Kubernetes object"),
        ("# nothing", "0 objects"),
        ("---\n".join("apiVersion: v1\nkind: A\nmetadata: {name: b}\n" for _ in range(51)), "51 objects"),
    ],
)
def test_invalid_manifests_are_rejected(text: str, expected: str) -> None:
    with pytest.raises(InvalidArguments, match=expected):
        parse_manifests(text)


def test_manifests_drop_server_set_metadata_but_not_status() -> None:
    text = """
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: A, metadata: {name: a, uid: u, resourceVersion: "1", managedFields: []}, status: {x: 1}}
- {apiVersion: v1, kind: B, metadata: {name: b}, data: {day: 2026-01-02, yes_: "no"}}
"""
    first, second = parse_manifests(text)
    assert first == {"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "status": {"x": 1}}
    assert second["data"] == {"day": "2026-01-02", "yes_": "no"}
