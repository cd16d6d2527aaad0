"""Field managers: record owners in `metadata.managedFields` and detect conflicts of an apply."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at
from skyflo_sandbox.cluster.apply_merge import merge_configuration
from skyflo_sandbox.cluster.errors import ApiError, api_error, quote
from skyflo_sandbox.cluster.field_paths import Path, Paths, compare, decode, encode, format_path, paths_of, remove_paths
from skyflo_sandbox.cluster.kinds import Kind

__all__ = ["ApplyResult", "Manager", "apply_configuration", "record_update"]


@dataclass(frozen=True)
class Manager:
    """A field manager: name, operation and subresource of a writer."""

    name: str
    operation: str = "Update"
    subresource: str = ""


@dataclass(frozen=True)
class ManagedFieldsEntry:
    """One manager and the fields that it owns."""

    manager: Manager
    api_version: str
    time: str
    paths: Paths
    stored: JsonObject | None = None
    """The entry as it was stored; None once its fields have changed."""

    def to_json(self) -> JsonObject:
        if self.stored is not None:
            return self.stored
        subresource: JsonObject = {"subresource": self.manager.subresource} if self.manager.subresource else {}
        return {
            "manager": self.manager.name,
            "operation": self.manager.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": encode(self.paths),
            **subresource,
        }

    def __str__(self) -> str:
        by = f" with subresource {quote(self.manager.subresource)}" if self.manager.subresource else ""
        using = f" using {self.api_version}" if self.manager.operation == "Update" else ""
        return f"{quote(self.manager.name)}{by}{using}"


@dataclass(frozen=True)
class ApplyResult:
    """Result of an apply: the object before defaults, and its managed fields."""

    body: JsonObject
    managed: list[JsonValue]


def record_update(kind: Kind, before: JsonObject | None, after: JsonObject, manager: Manager, now: str) -> JsonObject:
    """Return `after` with updated managed fields: the manager becomes the only owner of every difference.

    Tracking starts with the first managed field at creation, or with the first apply.
    """
    difference = compare(kind, before if before is not None else _empty_object(after), after)
    entries = _parse_entries(after) or _parse_entries(before or {})
    if difference and (entries or before is None):
        entries = _reassign_fields(kind, entries, manager, difference.written, difference.removed, now)
    managed: list[JsonValue] = [entry.to_json() for entry in entries]
    return _with_managed_fields(after, managed)


def apply_configuration(
    kind: Kind, before: JsonObject | None, config: JsonObject, manager: Manager, now: str, *, force: bool
) -> ApplyResult:
    """Merge a configuration, and remove fields that the manager no longer sets and no other manager owns.

    Raises `ApiError` (409) if a field would change that another manager owns; `force` takes the ownership instead.
    """
    live = before or {}
    entries = _parse_entries(live) or _unmanaged_entries(kind, before, now)
    named = paths_of(kind, config)
    last = next((entry.paths for entry in entries if entry.manager == manager), frozenset())
    others = [entry for entry in entries if entry.manager != manager]
    kept = named.union(*(entry.paths for entry in others))
    dropped = frozenset(path for path in _with_parents(last) if len(path) > 1) - _with_parents(kept)
    body = remove_paths(kind, merge_configuration(kind, live, config), dropped)
    difference = compare(kind, live, body)
    if before is not None and not force:
        _refuse_conflicts(others, difference.written)
    changed = difference.written | difference.removed
    unchanged = next((entry for entry in entries if entry.manager == manager and entry.paths == named), None)
    own = unchanged if unchanged and not difference else ManagedFieldsEntry(manager, kind.api_version, now, named)
    result = [*_release_fields(others, changed), own] if named else _release_fields(others, changed)
    return ApplyResult(body, [entry.to_json() for entry in result])


def _unmanaged_entries(kind: Kind, before: JsonObject | None, now: str) -> list[ManagedFieldsEntry]:
    """Assign all fields of an untracked object to `before-first-apply`, so that changing them is a conflict."""
    if before is None:
        return []
    paths = compare(kind, _empty_object(before), before).added
    return [ManagedFieldsEntry(Manager("before-first-apply"), kind.api_version, now, paths)] if paths else []


def _with_parents(paths: Paths) -> Paths:
    """Return the paths and all their parents: a list item stays while any manager owns a field in it."""
    return frozenset(path[:length] for path in paths for length in range(1, len(path) + 1))


def _refuse_conflicts(others: list[ManagedFieldsEntry], written: Paths) -> None:
    conflicts = [(entry, path) for entry in others for path in sorted(entry.paths & written)]
    if conflicts:
        raise _conflict(conflicts)


def _conflict(conflicts: list[tuple[ManagedFieldsEntry, Path]]) -> ApiError:
    causes: list[JsonValue] = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {entry}", "field": format_path(path)}
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        [(entry, path)] = conflicts
        message = f"Apply failed with 1 conflict: conflict with {entry}: {format_path(path)}"
    else:
        lines: list[str] = []
        for name in sorted({str(entry) for entry, _ in conflicts}):
            lines += [
                f"conflicts with {name}:",
                *(f"- {format_path(path)}" for entry, path in conflicts if str(entry) == name),
            ]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return api_error(409, "Conflict", message, {"causes": causes})


def _reassign_fields(
    kind: Kind, entries: list[ManagedFieldsEntry], manager: Manager, written: Paths, removed: Paths, now: str
) -> list[ManagedFieldsEntry]:
    own = next((entry.paths for entry in entries if entry.manager == manager), frozenset())
    others = _release_fields([entry for entry in entries if entry.manager != manager], written | removed)
    paths = (own | written) - removed
    return [*others, ManagedFieldsEntry(manager, kind.api_version, now, paths)] if paths else others


def _release_fields(entries: Iterable[ManagedFieldsEntry], paths: Paths) -> list[ManagedFieldsEntry]:
    fewer = (entry if entry.paths.isdisjoint(paths) else _without_paths(entry, paths) for entry in entries)
    return [entry for entry in fewer if entry.paths]


def _without_paths(entry: ManagedFieldsEntry, paths: Paths) -> ManagedFieldsEntry:
    return replace(entry, paths=entry.paths - paths, stored=None)


def _parse_entries(body: JsonObject) -> list[ManagedFieldsEntry]:
    return [
        ManagedFieldsEntry(
            Manager(text_at(each, "manager"), text_at(each, "operation"), text_at(each, "subresource")),
            text_at(each, "apiVersion"),
            text_at(each, "time"),
            decode(object_at(each, "fieldsV1")),
            each,
        )
        for each in objects_at(body, "metadata", "managedFields")
        if text_at(each, "operation") in ("Apply", "Update") and text_at(each, "manager")
    ]


def _with_managed_fields(body: JsonObject, managed: list[JsonValue]) -> JsonObject:
    metadata = {key: value for key, value in object_at(body, "metadata").items() if key != "managedFields"}
    return {**body, "metadata": {**metadata, "managedFields": managed} if managed else metadata}


def _empty_object(body: JsonObject) -> JsonObject:
    """Return the structure that every object of the kind has before any field is set."""
    result: JsonObject = {key: {} for key in ("metadata", "spec", "status") if key in body}
    spec = object_at(result, "spec")
    if "template" in object_at(body, "spec"):
        spec |= {"template": {"metadata": {}, "spec": {"containers": []}}}
    for key, empty in (("strategy", {}), ("containers", [])):
        if key in object_at(body, "spec"):
            spec[key] = empty
    return result
