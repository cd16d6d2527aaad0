"""Delete dependents of deleted owners, contents of deleted namespaces, and expired Events."""

from collections.abc import Iterable

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, object_at, objects_at, text_at
from skyflo_sandbox.cluster.controllers.context import Context, Key
from skyflo_sandbox.cluster.controllers.events import seconds_until_expiry
from skyflo_sandbox.cluster.controllers.objects import is_deleting, name_of, namespace_of, uid_of, with_metadata
from skyflo_sandbox.cluster.kinds import ALL, EVENT, NAMESPACE, POD, Kind
from skyflo_sandbox.cluster.state import Change

__all__ = ["EventExpiry", "GarbageCollector", "NamespaceController"]

FOREGROUND, ORPHAN = "foregroundDeletion", "orphan"
_STORED_KINDS = tuple(kind for kind in ALL if kind.stored)
_OWNER_KINDS = tuple(kind for kind in _STORED_KINDS if kind is not EVENT)


class GarbageCollector:
    """Garbage collector. It scans the whole namespace on every run, which is cheap for a small cluster."""

    name = "garbage"

    def __init__(self, context: Context) -> None:
        self._context = context

    def affected_keys(self, change: Change) -> Iterable[Key]:
        """React to deletions, to objects that are being deleted, and to new objects that have owners."""
        if change.kind is EVENT:
            return []
        body = change.object
        if change.type == "DELETED" or is_deleting(body) or (change.type == "ADDED" and _owner_references(body)):
            return [(namespace_of(body), "")]
        return []

    def sync(self, namespace: str, name: str) -> None:  # noqa: ARG002 - one look covers the namespace
        scopes = [(kind, namespace if kind.namespaced else "") for kind in _OWNER_KINDS]
        found = [(kind, body) for kind, where in scopes for body in self._context.state.objects(kind, where)]
        by_uid = {uid_of(body): (kind, body) for kind, body in found}
        dependents = [(kind, body) for kind, body in found if _owner_references(body)]
        for kind, body in dependents:
            self._delete_if_unowned(kind, body, by_uid)
        for kind, body in found:
            finalizers = dig(body, "metadata", "finalizers")
            if is_deleting(body) and isinstance(finalizers, list):
                self._process_finalizers(kind, body, finalizers, dependents)

    def _delete_if_unowned(self, kind: Kind, body: JsonObject, by_uid: dict[str, tuple[Kind, JsonObject]]) -> None:
        """Delete an object whose owners are gone or wait for their dependents."""
        owners = [by_uid.get(text_at(each, "uid")) for each in _owner_references(body)]
        alive = [owner for owner in owners if owner is not None and not _waits_for_dependents(owner[1])]
        orphaned = any(owner is not None and ORPHAN in _finalizers(owner[1]) for owner in owners)
        if alive or orphaned or is_deleting(body) or not self._owners_are_stored(body):
            return
        foreground = any(owner is not None for owner in owners) and kind is not POD
        self._context.api.delete(
            kind, namespace_of(body), name_of(body), propagation="Foreground" if foreground else "Background"
        )

    def _owners_are_stored(self, body: JsonObject) -> bool:
        """Return whether all owners are of stored kinds; owners of other kinds are assumed to exist."""
        kinds = {(kind.api_version, kind.kind) for kind in _STORED_KINDS}
        return all((text_at(each, "apiVersion"), text_at(each, "kind")) in kinds for each in _owner_references(body))

    def _process_finalizers(
        self, kind: Kind, body: JsonObject, finalizers: list[JsonValue], dependents: list[tuple[Kind, JsonObject]]
    ) -> None:
        own_dependents = [(each, found) for each, found in dependents if uid_of(body) in _owner_uids(found)]
        if ORPHAN in finalizers:
            for each, found in own_dependents:
                self._remove_owner(each, found, uid_of(body))
            self._remove_finalizer(kind, body, ORPHAN)
        elif FOREGROUND in finalizers:
            blocking = [
                found
                for each, found in own_dependents
                if self._still_exists(each, found) and _blocks_owner(found, uid_of(body))
            ]
            if not blocking:
                self._remove_finalizer(kind, body, FOREGROUND)

    def _still_exists(self, kind: Kind, body: JsonObject) -> bool:
        found = self._context.state.get(kind, namespace_of(body), name_of(body))
        return found is not None and uid_of(found) == uid_of(body)

    def _remove_owner(self, kind: Kind, body: JsonObject, owner: str) -> None:
        found = self._context.state.get(kind, namespace_of(body), name_of(body))
        if found is not None:
            remaining: list[JsonValue] = [each for each in _owner_references(found) if text_at(each, "uid") != owner]
            self._context.state.replace(kind, with_metadata(found, ownerReferences=remaining or None))

    def _remove_finalizer(self, kind: Kind, body: JsonObject, finalizer: str) -> None:
        """Remove a finalizer; remove the object with its last one."""
        found = self._context.state.get(kind, namespace_of(body), name_of(body))
        if found is None:
            return
        remaining: list[JsonValue] = [each for each in _finalizers(found) if each != finalizer]
        if remaining or kind is POD:
            self._context.state.replace(kind, with_metadata(found, finalizers=remaining or None))
        else:
            self._context.state.remove(kind, namespace_of(body), name_of(body))


class NamespaceController:
    """Empty a terminating namespace, then remove it."""

    name = "namespaces"

    def __init__(self, context: Context) -> None:
        self._context = context

    def affected_keys(self, change: Change) -> Iterable[Key]:
        if change.kind is NAMESPACE:
            return [("", name_of(change.object))] if change.type != "DELETED" else []
        namespace = self._context.state.get(NAMESPACE, "", namespace_of(change.object))
        return [("", name_of(namespace))] if namespace is not None and is_deleting(namespace) else []

    def sync(self, namespace: str, name: str) -> None:  # noqa: ARG002 - a namespace has none
        found = self._context.state.get(NAMESPACE, "", name)
        if found is None or not is_deleting(found):
            return
        if text_at(found, "status", "phase") != "Terminating":
            status: JsonObject = {**object_at(found, "status"), "phase": "Terminating"}
            found = self._context.write_status(NAMESPACE, found, status)
        for kind in _STORED_KINDS:
            for body in self._context.state.objects(kind, name) if kind.namespaced else []:
                self._delete(kind, body)
        if not any(self._context.state.objects(kind, name) for kind in _STORED_KINDS if kind.namespaced):
            self._context.state.remove(NAMESPACE, "", name)

    def _delete(self, kind: Kind, body: JsonObject) -> None:
        """Delete one object. Events are removed directly, because ending pods keep creating them."""
        current = self._context.state.get(kind, namespace_of(body), name_of(body))
        if current is None:
            return
        if kind is EVENT:
            self._context.state.remove(kind, namespace_of(body), name_of(body))
        elif not is_deleting(current):
            self._context.api.delete(kind, namespace_of(body), name_of(body))


class EventExpiry:
    """Remove Events one hour after their last occurrence."""

    name = "events"

    def __init__(self, context: Context) -> None:
        self._context = context

    def affected_keys(self, change: Change) -> Iterable[Key]:
        return (
            [(namespace_of(change.object), name_of(change.object))]
            if change.type == "ADDED" and change.kind is EVENT
            else []
        )

    def sync(self, namespace: str, name: str) -> None:
        event = self._context.state.get(EVENT, namespace, name)
        if event is None:
            return
        remaining = seconds_until_expiry(event, self._context.clock.now())
        if remaining > 0:
            self._context.requeue_after(self.name, event, remaining)
        else:
            self._context.state.remove(EVENT, namespace, name)


def _owner_references(body: JsonObject) -> list[JsonObject]:
    return objects_at(body, "metadata", "ownerReferences")


def _owner_uids(body: JsonObject) -> set[str]:
    return {text_at(each, "uid") for each in _owner_references(body)}


def _finalizers(body: JsonObject) -> list[JsonValue]:
    found = dig(body, "metadata", "finalizers")
    return found if isinstance(found, list) else []


def _waits_for_dependents(owner: JsonObject) -> bool:
    """Return whether the owner is being deleted in the foreground."""
    return is_deleting(owner) and FOREGROUND in _finalizers(owner)


def _blocks_owner(body: JsonObject, owner: str) -> bool:
    return any(
        each.get("blockOwnerDeletion") is True and text_at(each, "uid") == owner for each in _owner_references(body)
    )
