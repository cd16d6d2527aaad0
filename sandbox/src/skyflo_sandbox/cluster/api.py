"""The API server's write path: naming, type checks, defaults, validation, field managers, storage."""

import random
from collections.abc import Callable
from uuid import uuid4

from skyflo_common.jsontypes import JsonObject, number_at, object_at, text_at
from skyflo_sandbox.clock import Clock, rfc3339
from skyflo_sandbox.cluster.allocation import allocate_service_fields
from skyflo_sandbox.cluster.defaults import apply_defaults, drop_server_added_fields
from skyflo_sandbox.cluster.deletion import DeletionOptions, mark_for_deletion
from skyflo_sandbox.cluster.errors import (
    already_exists,
    bad_request,
    conflict,
    deletion_status,
    forbidden,
    not_found,
    not_in_sandbox,
)
from skyflo_sandbox.cluster.kinds import NAMESPACE, Kind
from skyflo_sandbox.cluster.managed_fields import Manager, apply_configuration, record_update
from skyflo_sandbox.cluster.ports import UpdateScope
from skyflo_sandbox.cluster.state import State, VersionConflict
from skyflo_sandbox.cluster.validation import check_change, check_object, check_types

__all__ = ["ClusterApi"]

_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_BOOKKEEPING = ("managedFields", "resourceVersion")
_SERVER_FIELDS = ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds")


def _new_suffix() -> str:
    return "".join(random.choices(_SUFFIX_LETTERS, k=5))  # noqa: S311  a name, not a secret


class ClusterApi:
    """Implement `ports.Api`, and add what the HTTP side needs. With `dry_run` nothing is stored."""

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
        scope: UpdateScope = "whole",
        subresource: str = "",
    ) -> JsonObject:
        live = self.live(kind, namespace, name)
        after = self._prepare_update(kind, live, body, scope)
        if subresource == "" and (scope == "status" or _only_status_differs(live, after)):
            subresource = "status"
        by = Manager(manager, "Update", subresource)
        after = record_update(kind, live, after, by, self._now())
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
        """Apply a configuration (server-side apply). Returns the object, and whether it was created."""
        live = self.state.get(kind, namespace, name)
        check_types(kind, config)
        by = Manager(manager, "Apply")
        if live is None:
            return self._create_applied(kind, namespace, name, config, by, dry_run=dry_run), True
        outcome = apply_configuration(kind, live, config, by, self._now(), force=force)
        after = self._prepare_update(kind, live, outcome.body, "main")
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
        options = DeletionOptions(propagation, grace_seconds, uid, revision)
        after = mark_for_deletion(kind, live, options, self._clock.now())
        if after is not None:
            return after if dry_run or after == live else self.state.replace(kind, after)
        removed = live if dry_run else self.state.remove(kind, namespace, name)
        return (
            removed
            if kind.kind in ("Pod", "Service")
            else deletion_status(kind, name, text_at(live, "metadata", "uid"))
        )

    def live(self, kind: Kind, namespace: str, name: str) -> JsonObject:
        """Return the stored object. Raises `ApiError` (404)."""
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
        outcome = apply_configuration(kind, None, config, by, self._now(), force=True)
        metadata = {
            key: value for key, value in object_at(outcome.body, "metadata").items() if key != "resourceVersion"
        }
        fresh: JsonObject = {**outcome.body, "metadata": {**metadata, "managedFields": outcome.managed}}
        return self._create(kind, namespace, fresh, None, dry_run=dry_run)

    def _create(self, kind: Kind, namespace: str, body: JsonObject, by: Manager | None, *, dry_run: bool) -> JsonObject:
        if not kind.stored:
            raise not_in_sandbox(f"creating {kind.resource}", 501)
        check_types(kind, body)
        full = apply_defaults(kind, self._with_name(kind, namespace, body))
        self._check_namespace_open(kind, namespace, text_at(full, "metadata", "name"))
        full = allocate_service_fields(self.state, kind, full, None)
        check_object(kind, full)
        if by is not None:
            written = record_update(kind, None, drop_server_added_fields(kind, body, full), by, self._now())
            full = {**full, "metadata": written["metadata"]}
        name = text_at(full, "metadata", "name")
        if self.state.get(kind, namespace, name) is not None:
            raise already_exists(kind, name)
        return self._dry_run_result(kind, full) if dry_run else self.state.create(kind, full)

    def _with_name(self, kind: Kind, namespace: str, body: JsonObject) -> JsonObject:
        metadata = {**object_at(body, "metadata")}
        named = text_at(metadata, "namespace")
        if named and named != namespace:
            raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
        metadata |= {"namespace": namespace} if kind.namespaced else {}
        prefix = text_at(metadata, "generateName")
        if prefix and not text_at(metadata, "name"):
            metadata["name"] = prefix[:58] + self._new_suffix()
        return {**body, "metadata": metadata}

    def _check_namespace_open(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        found = self.live(NAMESPACE, "", namespace)
        if text_at(found, "status", "phase") == "Terminating":
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise forbidden(kind, name, why)

    def _dry_run_result(self, kind: Kind, body: JsonObject) -> JsonObject:
        """Return the object as a dry run shows it: like the stored one, but without a resourceVersion."""
        metadata = object_at(body, "metadata")
        stamps: JsonObject = {
            "uid": text_at(metadata, "uid") or self._new_uid(),
            "creationTimestamp": text_at(metadata, "creationTimestamp") or self._now(),
        }
        return {**body, "metadata": {**metadata, **stamps, **({"generation": 1} if kind.has_generation else {})}}

    def _prepare_update(self, kind: Kind, live: JsonObject, body: JsonObject, scope: UpdateScope) -> JsonObject:
        """Complete and validate a changed object: server-owned metadata, defaults, allocations.

        Raises `ApiError`.
        """
        check_types(kind, body)
        _check_identity(kind, live, body)
        metadata, known = {**object_at(body, "metadata")}, object_at(live, "metadata")
        metadata |= {key: known[key] for key in _SERVER_FIELDS if key in known}
        metadata |= {key: known[key] for key in ("name", "namespace") if key in known}
        full = apply_defaults(kind, _limit_to_scope(scope, kind, live, {**body, "metadata": metadata}))
        full = allocate_service_fields(self.state, kind, full, live)
        check_change(kind, live, full)
        return full

    def _replace(self, kind: Kind, live: JsonObject, after: JsonObject, *, dry_run: bool) -> JsonObject:
        namespace, name = text_at(after, "metadata", "namespace"), text_at(after, "metadata", "name")
        if dry_run:
            return _with_next_generation(live, after)
        try:
            stored = self.state.replace(kind, after)
        except VersionConflict as error:
            raise conflict(kind, name) from error
        if _is_deletion_complete(kind, stored):
            return self.state.remove(kind, namespace, name)
        return stored

    def _now(self) -> str:
        return rfc3339(self._clock.now())


def _limit_to_scope(scope: UpdateScope, kind: Kind, live: JsonObject, body: JsonObject) -> JsonObject:
    """Keep only the changes that this scope may make; take the rest from the live object."""
    if scope == "status":
        return {**live, "status": body.get("status")}
    if scope == "whole" or "status" not in kind.subresources:
        return body
    kept: JsonObject = {"status": live["status"]} if "status" in live else {}
    return {key: value for key, value in body.items() if key != "status"} | kept


def _check_identity(kind: Kind, live: JsonObject, body: JsonObject) -> None:
    """Reject a body whose name, namespace, uid or resourceVersion differs from the stored object's."""
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
    return before.get("status") != after.get("status") and _without_status(before) == _without_status(after)


def _without_status(body: JsonObject) -> JsonObject:
    metadata = {key: value for key, value in object_at(body, "metadata").items() if key not in _BOOKKEEPING}
    return {key: value for key, value in body.items() if key != "status"} | {"metadata": metadata}


def _with_next_generation(before: JsonObject, after: JsonObject) -> JsonObject:
    """Return the object with the generation that a dry-run change would get."""
    generation = number_at(before, "metadata", "generation")
    if generation is None or before.get("spec") == after.get("spec"):
        return after
    return {**after, "metadata": {**object_at(after, "metadata"), "generation": generation + 1}}


def _is_deletion_complete(kind: Kind, body: JsonObject) -> bool:
    """Return whether the object's deletion has waited only for finalizers that are now gone."""
    metadata = object_at(body, "metadata")
    waits = metadata.get("finalizers") or number_at(metadata, "deletionGracePeriodSeconds")
    return "deletionTimestamp" in metadata and not waits and kind != NAMESPACE
