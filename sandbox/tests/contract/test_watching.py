"""Watching: every change after a revision, in order, for as long as one listens."""

from collections.abc import Iterator
from itertools import islice

import pytest
from kubebackend import TABLE, Object
from kubespace import Space


def revision(space: Space) -> str:
    return str(space.backend.get(space.path("configmaps"))["metadata"]["resourceVersion"])


def told(events: Iterator[Object], count: int) -> list[tuple[str, str]]:
    """The type and the object's name of the next events."""
    return [(event["type"], event["object"]["metadata"]["name"]) for event in islice(events, count)]


def test_changes_since_a_list_are_told_in_order(space: Space) -> None:
    since = revision(space)
    space.config_map("a", x="1")
    space.config_map("b")
    space.patch("configmaps", "a", {"data": {"x": "2"}}).made(200)
    space.delete("configmaps", "b").made(200)
    with space.backend.watch(space.path("configmaps"), resourceVersion=since) as events:
        seen = list(islice((each for each in events if "kube-root" not in each["object"]["metadata"]["name"]), 4))
    names = [(event["type"], event["object"]["metadata"]["name"]) for event in seen]
    assert names == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    assert (seen[2]["object"]["kind"], seen[2]["object"]["data"]) == ("ConfigMap", {"x": "2"})
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in seen]
    assert revisions == sorted(set(revisions))


def test_changes_are_told_while_one_listens(space: Space) -> None:
    mine = {"labelSelector": "watched=yes"}
    with space.backend.watch(space.path("configmaps"), resourceVersion=revision(space), **mine) as events:
        space.config_map("a", {"watched": "yes"})
        assert told(events, 1) == [("ADDED", "a")]
        space.delete("configmaps", "a")
        assert told(events, 1) == [("DELETED", "a")]


def test_without_a_revision_a_watch_begins_with_what_is_there(space: Space) -> None:
    space.config_map("a", {"watched": "yes"})
    space.config_map("b", {"watched": "yes"})
    for params in ({}, {"resourceVersion": "0"}):
        with space.backend.watch(space.path("configmaps"), labelSelector="watched=yes", **params) as events:
            assert set(told(events, 2)) == {("ADDED", "a"), ("ADDED", "b")}


def test_what_leaves_or_enters_a_selection_is_told_as_gone_or_new(space: Space) -> None:
    since = revision(space)
    space.config_map("a", {"watched": "no"})
    space.patch("configmaps", "a", {"metadata": {"labels": {"watched": "yes"}}}).made(200)
    space.patch("configmaps", "a", {"data": {"x": "1"}}).made(200)
    space.patch("configmaps", "a", {"metadata": {"labels": {"watched": "no"}}}).made(200)
    space.delete("configmaps", "a").made(200)
    space.config_map("end", {"watched": "yes"})
    with space.backend.watch(space.path("configmaps"), resourceVersion=since, labelSelector="watched=yes") as events:
        assert told(events, 4) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "end")]


def test_one_object_can_be_watched(space: Space) -> None:
    since = revision(space)
    space.config_map("a")
    space.config_map("b")
    space.patch("configmaps", "b", {"data": {"x": "1"}}).made(200)
    with space.backend.watch(
        space.path("configmaps"), resourceVersion=since, fieldSelector="metadata.name=b"
    ) as events:
        assert told(events, 2) == [("ADDED", "b"), ("MODIFIED", "b")]


def test_a_watch_can_be_of_every_namespace(space: Space) -> None:
    since = revision(space)
    space.config_map("a", {"only": space.namespace})
    only = {"labelSelector": f"only={space.namespace}"}
    with space.backend.watch("/api/v1/configmaps", resourceVersion=since, **only) as events:
        assert told(events, 1) == [("ADDED", "a")]


def test_a_watch_ends_when_its_time_is_over(space: Space) -> None:
    since = revision(space)
    with space.backend.watch(space.path("deployments"), resourceVersion=since, timeoutSeconds=1) as events:
        assert [event for event in events if event["type"] != "BOOKMARK"] == []


def test_a_bookmark_names_a_revision_and_nothing_else(space: Space) -> None:
    """Whether one comes is the server's choice."""
    params = {"allowWatchBookmarks": "true", "timeoutSeconds": 1}
    with space.backend.watch(space.path("configmaps"), resourceVersion=revision(space), **params) as events:
        bookmarks = [event["object"] for event in events if event["type"] == "BOOKMARK"]
    for each in bookmarks:
        assert (each["kind"], each["metadata"]["resourceVersion"].isdigit()) == ("ConfigMap", True)
        assert "data" not in each


def test_a_list_can_be_streamed_with_a_bookmark_at_its_end(space: Space) -> None:
    space.config_map("a", {"watched": "yes"})
    params = {"sendInitialEvents": "true", "allowWatchBookmarks": "true", "resourceVersionMatch": "NotOlderThan"}
    with space.backend.watch(space.path("configmaps"), labelSelector="watched=yes", **params) as events:
        first, last = islice(events, 2)
    assert (first["type"], first["object"]["metadata"]["name"], last["type"]) == ("ADDED", "a", "BOOKMARK")
    assert last["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_can_be_told_as_tables(space: Space) -> None:
    """As `kubectl get --watch` asks for it."""
    since = revision(space)
    space.config_map("a", x="1")
    params = {"watch": "1", "timeoutSeconds": "1", "resourceVersion": since, "fieldSelector": "metadata.name=a"}
    answer = space.backend.ask("GET", space.path("configmaps"), accept=TABLE, **params)
    assert '"kind":"Table"' in answer.text
    assert '"cells":["a",1,' in answer.text


@pytest.mark.parametrize("revision", ["nonsense", "-1"])
def test_a_watch_from_no_revision_is_refused(space: Space, revision: str) -> None:
    answer = space.backend.ask("GET", space.path("configmaps"), watch="1", timeoutSeconds=1, resourceVersion=revision)
    assert answer.refused[0] >= 400
