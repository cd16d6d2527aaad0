"""Every object of the cluster, in memory: revisions, optimistic locking, and who wants to hear of changes.

One asyncio thread uses it, and nothing here waits, so each call is a transaction by itself. Objects that are stored are
never changed in place: whoever wants a change hands over a new one.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from uuid import uuid4

from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, object_at, same, text_at

__all__ = ["AlreadyExists", "Change", "Changed", "Expired", "NotFound", "State"]

HISTORY = 5_000
"""Changes that a watch can go back to."""

Key = tuple[str, str]


class AlreadyExists(Exception):
    """An object of this kind, namespace and name is there."""


class NotFound(Exception):
    """There is no such object."""


class Changed(Exception):
    """The object is no longer the one that was read: another uid or another revision."""


class Expired(Exception):
    """The changes after that revision are no longer remembered."""


@dataclass(frozen=True)
class Change:
    """What became of one object. `before` is None for one that was added."""

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
        self._objects: dict[Kind, dict[Key, JsonObject]] = {}
        self._history: deque[Change] = deque(maxlen=HISTORY)
        self._listeners: list[Callable[[Change], None]] = []
        self._oldest = 1
        self.revision = 1

    def get(self, kind: Kind, namespace: str, name: str) -> JsonObject | None:
        return self._objects.get(kind, {}).get((namespace, name))

    def objects(self, kind: Kind, namespace: str = "") -> list[JsonObject]:
        """In the order of namespace and name; all namespaces where none is given."""
        found = self._objects.get(kind, {})
        return [found[key] for key in sorted(found) if not namespace or key[0] == namespace]

    def create(self, kind: Kind, body: JsonObject) -> JsonObject:
        """Stores a new object with uid, revision and time of its own. Raises `AlreadyExists`."""
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
        return self._put("ADDED", kind, {**body, "metadata": stamped}, None)

    def replace(self, kind: Kind, body: JsonObject) -> JsonObject:
        """Stores a changed object, whole. `metadata.generation`, where it has one, rises when `spec` differs
        or its deletion begins.

        Where the body names a uid or a resourceVersion, they must be the stored ones. An object that differs in
        nothing is not written anew. Raises `NotFound` or `Changed`.
        """
        before = self._there(kind, body)
        generation = number_at(before, "metadata", "generation")
        differs = not same(_counted(before), _counted(body))
        kept: JsonObject = {
            **object_at(body, "metadata"),
            "uid": text_at(before, "metadata", "uid"),
            "creationTimestamp": text_at(before, "metadata", "creationTimestamp"),
            "resourceVersion": text_at(before, "metadata", "resourceVersion"),
        }
        if generation is not None:
            kept["generation"] = generation + 1 if differs else generation
        after: JsonObject = {**body, "metadata": kept}
        return before if same(after, before) else self._put("MODIFIED", kind, after, before)

    def remove(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """Takes an object out, whatever its finalizers say, and returns it. Raises `NotFound`."""
        before = self._objects.get(kind, {}).pop((namespace, name), None)
        if before is None:
            raise NotFound
        self.revision += 1
        gone: JsonObject = {
            **before,
            "metadata": {**object_at(before, "metadata"), "resourceVersion": str(self.revision)},
        }
        self._tell(Change("DELETED", kind, gone, before, self.revision))
        return gone

    def as_of(self, kind: Kind, revision: int) -> list[JsonObject]:
        """All objects of the kind as they were at a revision, in order. Raises `Expired`."""
        found = dict(self._objects.get(kind, {}))
        for change in reversed(self.since(revision)):
            if change.kind == kind and change.before is None:
                found.pop(_key(change.object), None)
            elif change.kind == kind and change.before is not None:
                found[_key(change.before)] = change.before
        return [found[key] for key in sorted(found)]

    def restore(self, objects: Iterable[tuple[Kind, JsonObject]], revision: int) -> None:
        """Takes over what another life of this cluster has saved, unchanged. Only into an empty state."""
        for kind, body in objects:
            self._objects.setdefault(kind, {})[_key(body)] = body
        self.revision = revision
        self._oldest = revision

    def subscribe(self, hear: Callable[[Change], None]) -> Callable[[], None]:
        """Calls `hear` with every change from now on, in order; it must return at once. Returns how to end that."""
        self._listeners.append(hear)
        return lambda: self._listeners.remove(hear)

    def since(self, revision: int) -> list[Change]:
        """The changes after a revision, in order. Raises `Expired` where they reach back too far."""
        if revision < self._oldest:
            raise Expired
        return [change for change in self._history if change.revision > revision]

    def _there(self, kind: Kind, body: JsonObject) -> JsonObject:
        before = self._objects.get(kind, {}).get(_key(body))
        if before is None:
            raise NotFound
        for field in ("uid", "resourceVersion"):
            named = text_at(body, "metadata", field)
            if named and named != text_at(before, "metadata", field):
                raise Changed
        return before

    def _put(
        self, type_: Literal["ADDED", "MODIFIED"], kind: Kind, body: JsonObject, before: JsonObject | None
    ) -> JsonObject:
        self.revision += 1
        stored: JsonObject = {
            **body,
            "metadata": {**object_at(body, "metadata"), "resourceVersion": str(self.revision)},
        }
        self._objects.setdefault(kind, {})[_key(stored)] = stored
        self._tell(Change(type_, kind, stored, before, self.revision))
        return stored

    def _tell(self, change: Change) -> None:
        if len(self._history) == HISTORY:
            self._oldest = self._history[0].revision
        self._history.append(change)
        for hear in tuple(self._listeners):
            hear(change)


def _counted(body: JsonObject) -> list[JsonValue]:
    """What a generation counts changes of: the spec, but for the node of a pod, and that a deletion begins."""
    spec = body.get("spec")
    if isinstance(spec, dict) and text_at(body, "kind") == "Pod":
        spec = {key: value for key, value in spec.items() if key != "nodeName"}
    return [spec, "deletionTimestamp" in object_at(body, "metadata")]


def _key(body: JsonObject) -> Key:
    return text_at(body, "metadata", "namespace"), text_at(body, "metadata", "name")
