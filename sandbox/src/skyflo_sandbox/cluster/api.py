"""The write path of the API server: names, types, defaults, rules, field managers, and then the state."""

import random
from collections.abc import Callable
from uuid import uuid4

from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.allocation import allocated
from skyflo_sandbox.cluster.defaults import authored, defaulted
from skyflo_sandbox.cluster.deletion import Deletion, marked
from skyflo_sandbox.cluster.kinds import NAMESPACE, Kind
from skyflo_sandbox.cluster.managed import Manager, applied, recorded
from skyflo_sandbox.cluster.ports import Part
from skyflo_sandbox.cluster.state import Changed, State
from skyflo_sandbox.cluster.statuses import (
    already_exists,
    bad_request,
    conflict,
    deleted,
    forbidden,
    not_found,
    not_here,
)
from skyflo_sandbox.cluster.validation import check, check_change, check_types
from skyflo_sandbox.jsontypes import JsonObject, number_at, object_at, text_at

__all__ = ["ClusterApi"]

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_BOOKKEEPING = ("managedFields", "resourceVersion")
_KEPT = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


def _new_suffix() -> str:
    return "".join(random.choices(_SUFFIX_LETTERS, k=5))  # noqa: S311  a name, not a secret


class ClusterApi:
    """The `Api` of ports.py, and what the wire needs beyond it. `dry_run` does everything but store."""

    def __init__(
        self,
        state: State,
        clock: Clock,
        new_uid: Callable[[], str] = lambda: str(uuid4()),
        new_suffix: Callable[[], str] = _new_suffix,
    ) -> None:
        self.state = state
        self._clock = clock
        self._new_uid = new_uid
        self._new_suffix = new_suffix

    def create(
        self, kind: Kind, namespace: str, body: JsonObject, *, manager: str, dry_run: bool = False
    ) -> JsonObject:
        return self._create(kind, namespace, body, Manager(manager), dry_run=dry_run)

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: JsonObject,
        *,
        manager: str,
        dry_run: bool = False,
        part: Part = "whole",
        subresource: str = "",
    ) -> JsonObject:
        live = self.live(kind, namespace, name)
        after = self._prepared(kind, live, body, part)
        if subresource == "" and (part == "status" or _only_status_differs(live, after)):
            subresource = "status"
        by = Manager(manager, "Update", subresource)
        after = recorded(kind, live, after, by, self._now())
        return self._replace(kind, live, after, dry_run=dry_run)

    def apply(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        config: JsonObject,
        *,
        manager: str,
        dry_run: bool = False,
        force: bool = False,
    ) -> tuple[JsonObject, bool]:
        """Server-side apply of a configuration. Returns the object, and whether it is new."""
        live = self.state.get(kind, namespace, name)
        check_types(kind, config)
        by = Manager(manager, "Apply")
        if live is None:
            return self._create_applied(kind, namespace, name, config, by, dry_run=dry_run), True
        outcome = applied(kind, live, config, by, self._now(), force=force)
        after = self._prepared(kind, live, outcome.body, "main")
        after["metadata"] = {**object_at(after, "metadata"), "managedFields": outcome.managed}
        return self._replace(kind, live, after, dry_run=dry_run), False

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        *,
        propagation: str = "Background",
        dry_run: bool = False,
        grace_seconds: int | None = None,
        uid: str = "",
        revision: str = "",
    ) -> JsonObject:
        live = self.live(kind, namespace, name)
        wanted = Deletion(propagation, grace_seconds, uid, revision)
        after = marked(kind, live, wanted, self._clock.now())
        if after is not None:
            return after if dry_run or after == live else self.state.replace(kind, after)
        gone = live if dry_run else self.state.remove(kind, namespace, name)
        return gone if kind.kind in ("Pod", "Service") else deleted(kind, name, text_at(live, "metadata", "uid"))

    def live(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """The stored object. Raises `Refused` (404)."""
        found = self.state.get(kind, namespace, name)
        if found is None:
            raise not_found(kind, name)
        return found

    def _create_applied(
        self, kind: Kind, namespace: str, name: str, config: JsonObject, by: Manager, *, dry_run: bool
    ) -> JsonObject:
        if uid := text_at(config, "metadata", "uid"):
            why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
            raise conflict(kind, name, why)
        body = applied(kind, None, config, by, self._now(), force=True)
        metadata = {key: value for key, value in object_at(body.body, "metadata").items() if key != "resourceVersion"}
        fresh: JsonObject = {**body.body, "metadata": {**metadata, "managedFields": body.managed}}
        return self._create(kind, namespace, fresh, None, dry_run=dry_run)

    def _create(self, kind: Kind, namespace: str, body: JsonObject, by: Manager | None, *, dry_run: bool) -> JsonObject:
        if not kind.stored:
            raise not_here(f"creating {kind.resource}", 501)
        check_types(kind, body)
        full = defaulted(kind, self._named(kind, namespace, body))
        self._refuse_closed_namespace(kind, namespace, text_at(full, "metadata", "name"))
        full = allocated(self.state, kind, full, None)
        check(kind, full)
        if by is not None:
            written = recorded(kind, None, authored(kind, body, full), by, self._now())
            full = {**full, "metadata": written["metadata"]}
        name = text_at(full, "metadata", "name")
        if self.state.get(kind, namespace, name) is not None:
            raise already_exists(kind, name)
        return self._stamped(kind, full) if dry_run else self.state.create(kind, full)

    def _named(self, kind: Kind, namespace: str, body: JsonObject) -> JsonObject:
        metadata = {**object_at(body, "metadata")}
        named = text_at(metadata, "namespace")
        if named and named != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata |= {"namespace": namespace} if kind.namespaced else {}
        prefix = text_at(metadata, "generateName")
        if prefix and not text_at(metadata, "name"):
            metadata["name"] = prefix[:58] + self._new_suffix()
        return {**body, "metadata": metadata}

    def _refuse_closed_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        found = self.live(NAMESPACE, "", namespace)
        if text_at(found, "status", "phase") == "Terminating":
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(kind, name, why)

    def _stamped(self, kind: Kind, body: JsonObject) -> JsonObject:
        """An object as it would be stored, but without a revision."""
        metadata = object_at(body, "metadata")
        stamps: JsonObject = {
            "uid": text_at(metadata, "uid") or self._new_uid(),
            "creationTimestamp": text_at(metadata, "creationTimestamp") or self._now(),
        }
        return {**body, "metadata": {**metadata, **stamps, **({"generation": 1} if kind.has_generation else {})}}

    def _prepared(self, kind: Kind, live: JsonObject, body: JsonObject, part: Part) -> JsonObject:
        """The changed object with what clients can't change, defaults and allocations. Raises `Refused`."""
        check_types(kind, body)
        _refuse_another(kind, live, body)
        metadata, known = {**object_at(body, "metadata")}, object_at(live, "metadata")
        metadata |= {key: known[key] for key in _KEPT if key in known}
        metadata |= {key: known[key] for key in ("name", "namespace") if key in known}
        full = defaulted(kind, _only(part, kind, live, {**body, "metadata": metadata}))
        full = allocated(self.state, kind, full, live)
        check_change(kind, live, full)
        return full

    def _replace(self, kind: Kind, live: JsonObject, after: JsonObject, *, dry_run: bool) -> JsonObject:
        namespace, name = text_at(after, "metadata", "namespace"), text_at(after, "metadata", "name")
        if dry_run:
            return _next_generation(live, after)
        try:
            stored = self.state.replace(kind, after)
        except Changed as error:
            raise conflict(kind, name) from error
        if _is_done(kind, stored):
            return self.state.remove(kind, namespace, name)
        return stored

    def _now(self) -> str:
        return rfc3339(self._clock.now())


def _only(part: Part, kind: Kind, live: JsonObject, body: JsonObject) -> JsonObject:
    """What of the body this kind of write may change; the rest as it is."""
    if part == "status":
        return {**live, "status": body.get("status")}
    if part == "whole" or "status" not in kind.subresources:
        return body
    kept: JsonObject = {"status": live["status"]} if "status" in live else {}
    return {key: value for key, value in body.items() if key != "status"} | kept


def _refuse_another(kind: Kind, live: JsonObject, body: JsonObject) -> None:
    """The body must be about the stored object, and in the state in which it was read, if it says so."""
    name, stored = text_at(body, "metadata", "name"), text_at(live, "metadata", "name")
    if name and name != stored:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({stored})")
    namespace = text_at(body, "metadata", "namespace")
    if namespace and namespace != text_at(live, "metadata", "namespace"):
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    uid, known = text_at(body, "metadata", "uid"), text_at(live, "metadata", "uid")
    if uid and uid != known:
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {known}"
        raise conflict(kind, stored, why)
    revision = text_at(body, "metadata", "resourceVersion")
    if revision and revision != text_at(live, "metadata", "resourceVersion"):
        raise conflict(kind, stored)


def _only_status_differs(before: JsonObject, after: JsonObject) -> bool:
    return before.get("status") != after.get("status") and _but_status(before) == _but_status(after)


def _but_status(body: JsonObject) -> JsonObject:
    metadata = {key: value for key, value in object_at(body, "metadata").items() if key not in _BOOKKEEPING}
    return {key: value for key, value in body.items() if key != "status"} | {"metadata": metadata}


def _next_generation(before: JsonObject, after: JsonObject) -> JsonObject:
    """What a dry-run shows: the generation that the change would get."""
    generation = number_at(before, "metadata", "generation")
    if generation is None or before.get("spec") == after.get("spec"):
        return after
    return {**after, "metadata": {**object_at(after, "metadata"), "generation": generation + 1}}


def _is_done(kind: Kind, body: JsonObject) -> bool:
    """Whether its deletion waited for finalizers only, and they are gone."""
    metadata = object_at(body, "metadata")
    waits = metadata.get("finalizers") or number_at(metadata, "deletionGracePeriodSeconds")
    return "deletionTimestamp" in metadata and not waits and kind != NAMESPACE
