"""What goes when something else goes: dependents by owner, the contents of a namespace, old events."""

from collections.abc import Iterable

from skyflo_sandbox.cluster.kinds import ALL, EVENT, NAMESPACE, POD, Kind
from skyflo_sandbox.cluster.life.context import Context, Key
from skyflo_sandbox.cluster.life.events import expired
from skyflo_sandbox.cluster.life.objects import deleting, name_of, namespace_of, uid_of, with_metadata
from skyflo_sandbox.cluster.state import Change
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, dig, object_at, objects_at, text_at

__all__ = ["Collector", "EventKeeper", "Namespaces"]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_STORED = tuple(kind for kind in ALL if kind.stored)
_OWNING = tuple(kind for kind in _STORED if kind is not EVENT)


class Collector:
    """The garbage collector. It looks at a whole namespace at once: a sandbox is small."""

    name = "garbage"

    def __init__(self, context: Context) -> None:
        self._context = context

    def hears(self, change: Change) -> Iterable[Key]:
        """Whatever was an owner or waits for its dependents; and what comes when its owner has gone already."""
        if change.kind is EVENT:
            return []
        body = change.object
        if change.type == "DELETED" or deleting(body) or (change.type == "ADDED" and _references(body)):
            return [(namespace_of(body), "")]
        return []

    def sync(self, namespace: str, name: str) -> None:  # noqa: ARG002 - one look covers the namespace
        looked = [(kind, namespace if kind.namespaced else "") for kind in _OWNING]
        found = [(kind, body) for kind, where in looked for body in self._context.state.objects(kind, where)]
        there = {uid_of(body): (kind, body) for kind, body in found}
        dependents = [(kind, body) for kind, body in found if _references(body)]
        for kind, body in dependents:
            self._collect(kind, body, there)
        for kind, body in found:
            waiting = dig(body, "metadata", "finalizers")
            if deleting(body) and isinstance(waiting, list):
                self._finish(kind, body, waiting, dependents)

    def _collect(self, kind: Kind, body: JsonObject, there: dict[str, tuple[Kind, JsonObject]]) -> None:
        """Deletes what has no owner any more, or only one that waits for it to go."""
        owners = [there.get(text_at(each, "uid")) for each in _references(body)]
        alive = [owner for owner in owners if owner is not None and not _goes_first(owner[1])]
        orphaned = any(owner is not None and ORPHAN in _finalizers(owner[1]) for owner in owners)
        if alive or orphaned or deleting(body) or not self._is_local(body):
            return
        foreground = any(owner is not None for owner in owners) and kind is not POD
        self._context.api.delete(
            kind, namespace_of(body), name_of(body), propagation="Foreground" if foreground else "Background"
        )

    def _is_local(self, body: JsonObject) -> bool:
        """An owner of a kind that is not kept here can't be missed."""
        kinds = {(kind.api_version, kind.kind) for kind in _STORED}
        return all((text_at(each, "apiVersion"), text_at(each, "kind")) in kinds for each in _references(body))

    def _finish(
        self, kind: Kind, body: JsonObject, waiting: list[JsonValue], dependents: list[tuple[Kind, JsonObject]]
    ) -> None:
        mine = [(each, found) for each, found in dependents if uid_of(body) in _owner_uids(found)]
        if ORPHAN in waiting:
            for each, found in mine:
                self._let_go(each, found, uid_of(body))
            self._without(kind, body, ORPHAN)
        elif FOREGROUND in waiting:
            blocking = [found for each, found in mine if self._there(each, found) and _blocks(found, uid_of(body))]
            if not blocking:
                self._without(kind, body, FOREGROUND)

    def _there(self, kind: Kind, body: JsonObject) -> bool:
        found = self._context.state.get(kind, namespace_of(body), name_of(body))
        return found is not None and uid_of(found) == uid_of(body)

    def _let_go(self, kind: Kind, body: JsonObject, owner: str) -> None:
        found = self._context.state.get(kind, namespace_of(body), name_of(body))
        if found is not None:
            left: list[JsonValue] = [each for each in _references(found) if text_at(each, "uid") != owner]
            self._context.state.replace(kind, with_metadata(found, ownerReferences=left or None))

    def _without(self, kind: Kind, body: JsonObject, finalizer: str) -> None:
        """Takes the finalizer off; the last one takes the object along."""
        found = self._context.state.get(kind, namespace_of(body), name_of(body))
        if found is None:
            return
        left: list[JsonValue] = [each for each in _finalizers(found) if each != finalizer]
        if left or kind is POD:
            self._context.state.replace(kind, with_metadata(found, finalizers=left or None))
        else:
            self._context.state.remove(kind, namespace_of(body), name_of(body))


class Namespaces:
    """Empties a namespace that is to go, then removes it."""

    name = "namespaces"

    def __init__(self, context: Context) -> None:
        self._context = context

    def hears(self, change: Change) -> Iterable[Key]:
        if change.kind is NAMESPACE:
            return [("", name_of(change.object))] if change.type != "DELETED" else []
        namespace = self._context.state.get(NAMESPACE, "", namespace_of(change.object))
        return [("", name_of(namespace))] if namespace is not None and deleting(namespace) else []

    def sync(self, namespace: str, name: str) -> None:  # noqa: ARG002 - a namespace has none
        found = self._context.state.get(NAMESPACE, "", name)
        if found is None or not deleting(found):
            return
        if text_at(found, "status", "phase") != "Terminating":
            status: JsonObject = {**object_at(found, "status"), "phase": "Terminating"}
            found = self._context.write_status(NAMESPACE, found, status)
        for kind in _STORED:
            for body in self._context.state.objects(kind, name) if kind.namespaced else []:
                self._delete(kind, body)
        if not any(self._context.state.objects(kind, name) for kind in _STORED if kind.namespaced):
            self._context.state.remove(NAMESPACE, "", name)

    def _delete(self, kind: Kind, body: JsonObject) -> None:
        """Events come while pods end, so they are taken out directly, without asking."""
        still = self._context.state.get(kind, namespace_of(body), name_of(body))
        if still is None:
            return
        if kind is EVENT:
            self._context.state.remove(kind, namespace_of(body), name_of(body))
        elif not deleting(still):
            self._context.api.delete(kind, namespace_of(body), name_of(body))


class EventKeeper:
    """Forgets events an hour after they happened last."""

    name = "events"

    def __init__(self, context: Context) -> None:
        self._context = context

    def hears(self, change: Change) -> Iterable[Key]:
        return (
            [(namespace_of(change.object), name_of(change.object))]
            if change.type == "ADDED" and change.kind is EVENT
            else []
        )

    def sync(self, namespace: str, name: str) -> None:
        event = self._context.state.get(EVENT, namespace, name)
        if event is None:
            return
        left = expired(event, self._context.clock.now())
        if left > 0:
            self._context.again(self.name, event, left)
        else:
            self._context.state.remove(EVENT, namespace, name)


def _references(body: JsonObject) -> list[JsonObject]:
    return objects_at(body, "metadata", "ownerReferences")


def _owner_uids(body: JsonObject) -> set[str]:
    return {text_at(each, "uid") for each in _references(body)}


def _finalizers(body: JsonObject) -> list[JsonValue]:
    found = dig(body, "metadata", "finalizers")
    return found if isinstance(found, list) else []


def _goes_first(owner: JsonObject) -> bool:
    """Whether the owner waits for its dependents to go."""
    return deleting(owner) and FOREGROUND in _finalizers(owner)


def _blocks(body: JsonObject, owner: str) -> bool:
    return any(each.get("blockOwnerDeletion") is True and text_at(each, "uid") == owner for each in _references(body))
