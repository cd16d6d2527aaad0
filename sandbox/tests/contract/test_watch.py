"""Watches: changes after a revision, in order."""

from collections.abc import Iterator
from itertools import islice

import pytest
from kube_backend import TABLE, Object
from kube_namespace import Namespace


def revision(namespace: Namespace) -> str:
    return str(namespace.backend.get(namespace.path("configmaps"))["metadata"]["resourceVersion"])


def next_events(events: Iterator[Object], count: int) -> list[tuple[str, str]]:
    """Return the type and the object name of the next events."""
    return [(event["type"], event["object"]["metadata"]["name"]) for event in islice(events, count)]


def test_watch_replays_changes_since_list(namespace: Namespace) -> None:
    since = revision(namespace)
    namespace.create_config_map("a", x="1")
    namespace.create_config_map("b")
    namespace.patch("configmaps", "a", {"data": {"x": "2"}}).expect(200)
    namespace.delete("configmaps", "b").expect(200)
    with namespace.backend.watch(namespace.path("configmaps"), resourceVersion=since) as events:
        seen = list(islice((each for each in events if "kube-root" not in each["object"]["metadata"]["name"]), 4))
    names = [(event["type"], event["object"]["metadata"]["name"]) for event in seen]
    assert names == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    assert (seen[2]["object"]["kind"], seen[2]["object"]["data"]) == ("ConfigMap", {"x": "2"})
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert revisions == sorted(set(revisions))


def test_watch_streams_live_changes(namespace: Namespace) -> None:
    mine = {"labelSelector": "watched=yes"}
    with namespace.backend.watch(namespace.path("configmaps"), resourceVersion=revision(namespace), **mine) as events:
        namespace.create_config_map("a", {"watched": "yes"})
        assert next_events(events, 1) == [("ADDED", "a")]
        namespace.delete("configmaps", "a")
        assert next_events(events, 1) == [("DELETED", "a")]


def test_watch_without_revision_starts_with_existing_objects(namespace: Namespace) -> None:
    namespace.create_config_map("a", {"watched": "yes"})
    namespace.create_config_map("b", {"watched": "yes"})
    for params in ({}, {"resourceVersion": "0"}):
        with namespace.backend.watch(namespace.path("configmaps"), labelSelector="watched=yes", **params) as events:
            assert set(next_events(events, 2)) == {("ADDED", "a"), ("ADDED", "b")}


def test_selector_changes_appear_as_added_and_deleted(namespace: Namespace) -> None:
    since = revision(namespace)
    namespace.create_config_map("a", {"watched": "no"})
    namespace.patch("configmaps", "a", {"metadata": {"labels": {"watched": "yes"}}}).expect(200)
    namespace.patch("configmaps", "a", {"data": {"x": "1"}}).expect(200)
    namespace.patch("configmaps", "a", {"metadata": {"labels": {"watched": "no"}}}).expect(200)
    namespace.delete("configmaps", "a").expect(200)
    namespace.create_config_map("end", {"watched": "yes"})
    with namespace.backend.watch(
        namespace.path("configmaps"), resourceVersion=since, labelSelector="watched=yes"
    ) as events:
        assert next_events(events, 4) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "end")]


def test_single_object_can_be_watched(namespace: Namespace) -> None:
    since = revision(namespace)
    namespace.create_config_map("a")
    namespace.create_config_map("b")
    namespace.patch("configmaps", "b", {"data": {"x": "1"}}).expect(200)
    with namespace.backend.watch(
        namespace.path("configmaps"), resourceVersion=since, fieldSelector="metadata.name=b"
    ) as events:
        assert next_events(events, 2) == [("ADDED", "b"), ("MODIFIED", "b")]


def test_watch_can_span_namespaces(namespace: Namespace) -> None:
    since = revision(namespace)
    namespace.create_config_map("a", {"only": namespace.name})
    only = {"labelSelector": f"only={namespace.name}"}
    with namespace.backend.watch("/api/v1/configmaps", resourceVersion=since, **only) as events:
        assert next_events(events, 1) == [("ADDED", "a")]


def test_watch_ends_after_timeout(namespace: Namespace) -> None:
    since = revision(namespace)
    with namespace.backend.watch(namespace.path("deployments"), resourceVersion=since, timeoutSeconds=1) as events:
        assert [event for event in events if event["type"] != "BOOKMARK"] == []


def test_bookmark_contains_only_revision(namespace: Namespace) -> None:
    """The server may send a bookmark or not."""
    params = {"allowWatchBookmarks": "true", "timeoutSeconds": 1}
    with namespace.backend.watch(namespace.path("configmaps"), resourceVersion=revision(namespace), **params) as events:
        bookmarks = [event["object"] for event in events if event["type"] == "BOOKMARK"]
    for each in bookmarks:
        assert (each["kind"], each["metadata"]["resourceVersion"].isdigit()) == ("ConfigMap", True)
        assert "data" not in each


def test_initial_events_end_with_bookmark(namespace: Namespace) -> None:
    namespace.create_config_map("a", {"watched": "yes"})
    params = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
    with namespace.backend.watch(namespace.path("configmaps"), labelSelector="watched=yes", **params) as events:
        first, last = islice(events, 2)
    assert (first["type"], first["object"]["metadata"]["name"], last["type"]) == ("ADDED", "a", "BOOKMARK")
    assert last["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_watch_supports_tables(namespace: Namespace) -> None:
    """`kubectl get --watch` requests tables."""
    since = revision(namespace)
    namespace.create_config_map("a", x="1")
    params = {"watch": "1", "timeoutSeconds": "1", "resourceVersion": since, "fieldSelector": "metadata.name=a"}
    answer = namespace.backend.request("GET", namespace.path("configmaps"), accept=TABLE, **params)
    assert '"kind":"Table"' in answer.text
    assert '"cells":["a",1,' in answer.text


@pytest.mark.parametrize("revision", ["nonsense", "-1"])
def test_watch_rejects_invalid_revision(namespace: Namespace, revision: str) -> None:
    answer = namespace.backend.request(
        "GET", namespace.path("configmaps"), watch="1", timeoutSeconds=1, resourceVersion=revision
    )
    assert answer.error[0] >= 400
