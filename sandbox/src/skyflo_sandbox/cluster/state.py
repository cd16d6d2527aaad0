"""In-memory object store: revisions, optimistic locking, change subscriptions.

Only one asyncio thread uses it and no method awaits, so each call is a transaction. Stored objects are never changed in
place: a change replaces the object.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, object_at, text_at
from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.json_equality import json_equal
from skyflo_sandbox.cluster.kinds import Kind

__all__ = ["AlreadyExists", "Change", "Expired", "NotFound", "State", "VersionConflict"]

HISTORY_SIZE = 5_000
"""Number of changes that a watch can resume from."""

ObjectKey = tuple[str, str]


class AlreadyExists(Exception):
    """An object of this kind, namespace and name exists."""


class NotFound(Exception):
    """The object does not exist."""


class VersionConflict(Exception):
    """The stored object has another uid or revision than the one in the request."""


class Expired(Exception):
    """The changes after that revision have been discarded."""


@dataclass(frozen=True)
class Change:
    """One change of an object. `before` is None for a new object."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    kind: Kind
    object: JsonObject
    before: JsonObject | None
    revision: int


class State:
    """The objects of one cluster."""

    def __init__(self, clock: Clock, new_uid: Callable[[], str] = lambda: str(uuid4())) -> None:
        self._clock = clock
        self._new_uid = new_uid
        self._objects: dict[Kind, dict[ObjectKey, JsonObject]] = {}
        self._history: deque[Change] = deque(maxlen=HISTORY_SIZE)
        self._listeners: list[Callable[[Change], None]] = []
        self._oldest = 1
        self.revision = 1

    def get(self, kind: Kind, namespace: str, name: str) -> JsonObject | None:
        return self._objects.get(kind, {}).get((namespace, name))

    def objects(self, kind: Kind, namespace: str = "") -> list[JsonObject]:
        """Return the objects ordered by namespace and name; all namespaces if none is given."""
        found = self._objects.get(kind, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def create(self, kind: Kind, body: JsonObject) -> JsonObject:
        """Store a new object with a uid, a revision and a creation time. Raises `AlreadyExists`."""
        key = _key(body)
        if key in self._objects.get(kind, {}):
            raise AlreadyExists
        stamped: JsonObject = {
            **object_at(body, "metadata"),
            "uid": text_at(body, "metadata", "uid") or self._new_uid(),
            "creationTimestamp": text_at(body, "metadata", "creationTimestamp") or rfc3339(self._clock.now()),
        }
        if kind.has_generation:
            stamped["generation"] = number_at(body, "metadata", "generation") or 1
        return self._store("ADDED", kind, {**body, "metadata": stamped}, None)

    def replace(self, kind: Kind, body: JsonObject) -> JsonObject:
        """Replace an object. Its generation, if it has one, rises when the spec differs or its deletion begins.

        A uid or resourceVersion in the body must match the stored object. An identical object is not written again.
        Raises `NotFound` or `VersionConflict`.
        """
        before = self._current(kind, body)
        generation = number_at(before, "metadata", "generation")
        differs = not json_equal(_generation_inputs(before), _generation_inputs(body))
        kept: JsonObject = {
            **object_at(body, "metadata"),
            "uid": text_at(before, "metadata", "uid"),
            "creationTimestamp": text_at(before, "metadata", "creationTimestamp"),
            "resourceVersion": text_at(before, "metadata", "resourceVersion"),
        }
        if generation is not None:
            kept["generation"] = generation + 1 if differs else generation
        after: JsonObject = {**body, "metadata": kept}
        return before if json_equal(after, before) else self._store("MODIFIED", kind, after, before)

    def remove(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """Remove an object regardless of its finalizers, and return it. Raises `NotFound`."""
        before = self._objects.get(kind, {}).pop((namespace, name), None)
        if before is None:
            raise NotFound
        self.revision += 1
        removed: JsonObject = {
            **before,
            "metadata": {**object_at(before, "metadata"), "resourceVersion": str(self.revision)},
        }
        self._publish(Change("DELETED", kind, removed, before, self.revision))
        return removed

    def objects_at(self, kind: Kind, revision: int) -> list[JsonObject]:
        """Return the objects of a kind as of a revision, in order. Raises `Expired`."""
        found = dict(self._objects.get(kind, {}))
        for change in reversed(self.changes_since(revision)):
            if change.kind == kind and change.before is None:
                found.pop(_key(change.object), None)
            elif change.kind == kind and change.before is not None:
                found[_key(change.before)] = change.before
        return [found[key] for key in sorted(found)]

    def restore(self, objects: Iterable[tuple[Kind, JsonObject]], revision: int) -> None:
        """Load saved objects unchanged into an empty state."""
        for kind, body in objects:
            self._objects.setdefault(kind, {})[_key(body)] = body
        self.revision = revision
        self._oldest = revision

    def subscribe(self, on_change: Callable[[Change], None]) -> Callable[[], None]:
        """Call `on_change` with every later change, in order, and return a function that unsubscribes it.

        `on_change` runs synchronously inside the write and must not block.
        """
        self._listeners.append(on_change)
        return lambda: self._listeners.remove(on_change)

    def changes_since(self, revision: int) -> list[Change]:
        """Return the changes after a revision, in order. Raises `Expired` if they have been discarded."""
        if revision < self._oldest:
            raise Expired
        return [change for change in self._history if change.revision > revision]

    def _current(self, kind: Kind, body: JsonObject) -> JsonObject:
        before = self._objects.get(kind, {}).get(_key(body))
        if before is None:
            raise NotFound
        for field in ("uid", "resourceVersion"):
            named = text_at(body, "metadata", field)
            if named and named != text_at(before, "metadata", field):
                raise VersionConflict
        return before

    def _store(
        self, type_: Literal["ADDED", "MODIFIED"], kind: Kind, body: JsonObject, before: JsonObject | None
    ) -> JsonObject:
        self.revision += 1
        stored: JsonObject = {
            **body,
            "metadata": {**object_at(body, "metadata"), "resourceVersion": str(self.revision)},
        }
        self._objects.setdefault(kind, {})[_key(stored)] = stored
        self._publish(Change(type_, kind, stored, before, self.revision))
        return stored

    def _publish(self, change: Change) -> None:
        if len(self._history) == HISTORY_SIZE:
            self._oldest = self._history[0].revision
        self._history.append(change)
        for on_change in tuple(self._listeners):
            on_change(change)


def _generation_inputs(body: JsonObject) -> list[JsonValue]:
    """Return what the generation counts: the spec (without a pod's node), and the start of a deletion."""
    spec = body.get("spec")
    if isinstance(spec, dict) and text_at(body, "kind") == "Pod":
        spec = {key: value for key, value in spec.items() if key != "nodeName"}
    return [spec, "deletionTimestamp" in object_at(body, "metadata")]


def _key(body: JsonObject) -> ObjectKey:
    return text_at(body, "metadata", "namespace"), text_at(body, "metadata", "name")
