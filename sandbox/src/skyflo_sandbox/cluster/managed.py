"""Field managers: who set which field, as `metadata.managedFields` tells, and whom an apply would cross."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from skyflo_sandbox.cluster.fieldpaths import Path, Paths, compare, decode, encode, paths_of, spelt, without
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.merging import merged
from skyflo_sandbox.cluster.statuses import Refused, failure, quoted
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at

__all__ = ["Applied", "Manager", "applied", "recorded"]


@dataclass(frozen=True)
class Manager:
    """Who writes, and how."""

    name: str
    operation: str = "Update"
    subresource: str = ""


@dataclass(frozen=True)
class Entry:
    """What one manager owns."""

    manager: Manager
    api_version: str
    time: str
    paths: Paths
    stored: JsonObject | None = None
    """The entry as it was read, for as long as nothing of it has changed."""

    def body(self) -> JsonObject:
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
        by = f" with subresource {quoted(self.manager.subresource)}" if self.manager.subresource else ""
        using = f" using {self.api_version}" if self.manager.operation == "Update" else ""
        return f"{quoted(self.manager.name)}{by}{using}"


@dataclass(frozen=True)
class Applied:
    """An object as an apply leaves it, before defaults, and its managers."""

    body: JsonObject
    managed: list[JsonValue]


def recorded(kind: Kind, before: JsonObject | None, after: JsonObject, manager: Manager, now: str) -> JsonObject:
    """`after` with its managed fields: what differs from `before` is the manager's from now on, and nobody else's.

    An object of which nobody manages anything is not followed, until somebody applies to it.
    """
    difference = compare(kind, before if before is not None else _skeleton(after), after)
    entries = _entries(after) or _entries(before or {})
    if difference and (entries or before is None):
        entries = _reassigned(kind, entries, manager, difference.written, difference.removed, now)
    managed: list[JsonValue] = [entry.body() for entry in entries]
    return _with_managed(after, managed)


def applied(
    kind: Kind, before: JsonObject | None, config: JsonObject, manager: Manager, now: str, *, force: bool
) -> Applied:
    """Merges a configuration. What the manager applied before and no longer names goes, unless another owns it.

    Raises `Refused` (409) where a field would change that another manager owns, unless `force` takes it over.
    """
    live = before or {}
    entries = _entries(live) or _nobodys(kind, before, now)
    named = paths_of(kind, config)
    last = next((entry.paths for entry in entries if entry.manager == manager), frozenset())
    others = [entry for entry in entries if entry.manager != manager]
    kept = named.union(*(entry.paths for entry in others))
    gone = frozenset(path for path in _with_parents(last) if len(path) > 1) - _with_parents(kept)
    body = without(kind, merged(kind, live, config), gone)
    difference = compare(kind, live, body)
    if before is not None and not force:
        _refuse_conflicts(others, difference.written)
    lost = difference.written | difference.removed
    same = next((entry for entry in entries if entry.manager == manager and entry.paths == named), None)
    own = same if same and not difference else Entry(manager, kind.api_version, now, named)
    result = [*_minus(others, lost), own] if named else _minus(others, lost)
    return Applied(body, [entry.body() for entry in result])


def _nobodys(kind: Kind, before: JsonObject | None, now: str) -> list[Entry]:
    """All fields of an object that is not followed yet, as those of one manager: they are not to be had for nothing."""
    if before is None:
        return []
    paths = compare(kind, _skeleton(before), before).added
    return [Entry(Manager("before-first-apply"), kind.api_version, now, paths)] if paths else []


def _with_parents(paths: Paths) -> Paths:
    """The paths and all that lie on the way to them: a list's item stays while anybody owns something in it."""
    return frozenset(path[:length] for path in paths for length in range(1, len(path) + 1))


def _refuse_conflicts(others: list[Entry], written: Paths) -> None:
    conflicts = [(entry, path) for entry in others for path in sorted(entry.paths & written)]
    if conflicts:
        raise _conflict(conflicts)


def _conflict(conflicts: list[tuple[Entry, Path]]) -> Refused:
    causes: list[JsonValue] = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {entry}", "field": spelt(path)}
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        [(entry, path)] = conflicts
        message = f"Apply failed with 1 conflict: conflict with {entry}: {spelt(path)}"
    else:
        lines: list[str] = []
        for name in sorted({str(entry) for entry, _ in conflicts}):
            lines += [
                f"conflicts with {name}:",
                *(f"- {spelt(path)}" for entry, path in conflicts if str(entry) == name),
            ]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return failure(409, "Conflict", message, {"causes": causes})


def _reassigned(
    kind: Kind, entries: list[Entry], manager: Manager, written: Paths, removed: Paths, now: str
) -> list[Entry]:
    own = next((entry.paths for entry in entries if entry.manager == manager), frozenset())
    others = _minus([entry for entry in entries if entry.manager != manager], written | removed)
    paths = (own | written) - removed
    return [*others, Entry(manager, kind.api_version, now, paths)] if paths else others


def _minus(entries: Iterable[Entry], paths: Paths) -> list[Entry]:
    fewer = (entry if entry.paths.isdisjoint(paths) else _less(entry, paths) for entry in entries)
    return [entry for entry in fewer if entry.paths]


def _less(entry: Entry, paths: Paths) -> Entry:
    return replace(entry, paths=entry.paths - paths, stored=None)


def _entries(body: JsonObject) -> list[Entry]:
    return [
        Entry(
            Manager(text_at(each, "manager"), text_at(each, "operation"), text_at(each, "subresource")),
            text_at(each, "apiVersion"),
            text_at(each, "time"),
            decode(object_at(each, "fieldsV1")),
            each,
        )
        for each in objects_at(body, "metadata", "managedFields")
        if text_at(each, "operation") in ("Apply", "Update") and text_at(each, "manager")
    ]


def _with_managed(body: JsonObject, managed: list[JsonValue]) -> JsonObject:
    metadata = {key: value for key, value in object_at(body, "metadata").items() if key != "managedFields"}
    return {**body, "metadata": {**metadata, "managedFields": managed} if managed else metadata}


def _skeleton(body: JsonObject) -> JsonObject:
    """What every object of a kind has before anybody sets a field."""
    hollow: JsonObject = {key: {} for key in ("metadata", "spec", "status") if key in body}
    spec = object_at(hollow, "spec")
    if "template" in object_at(body, "spec"):
        spec |= {"template": {"metadata": {}, "spec": {"containers": []}}}
    for key, empty in (("strategy", {}), ("containers", [])):
        if key in object_at(body, "spec"):
            spec[key] = empty
    return hollow
