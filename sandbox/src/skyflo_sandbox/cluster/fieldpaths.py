"""Sets of fields, as field managers own them: made from objects, compared, and spelt as `fieldsV1`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.structure import Names, is_atomic, item_key, list_keys
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, object_at, same

__all__ = ["Difference", "Path", "Paths", "children", "compare", "decode", "encode", "paths_of", "spelt", "without"]

Path = tuple[str, ...]
"""Steps as `fieldsV1` spells them: `f:name`, `k:{"name":"app"}`, `v:"x"`."""
Paths = frozenset[Path]

_DEEPEST = 64
_IGNORED: Paths = frozenset(
    {("f:apiVersion",), ("f:kind",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "name",
            "namespace",
            "uid",
            "resourceVersion",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "managedFields",
            "selfLink",
        )
    }
)


@dataclass(frozen=True)
class Difference:
    """What it takes to get from one object to another."""

    added: Paths
    modified: Paths
    removed: Paths

    @property
    def written(self) -> Paths:
        return self.added | self.modified

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)


def paths_of(kind: Kind, body: JsonObject) -> Paths:
    """The fields that an applied configuration names: its leaves, and the items of keyed lists."""
    return _counted(_walk(kind, body, (), (), every=False)) - {()}


def compare(kind: Kind, before: JsonObject, after: JsonObject) -> Difference:
    added: set[Path] = set()
    modified: set[Path] = set()
    removed: set[Path] = set()
    _compare(_Sides(kind, added, modified, removed), before, after, (), ())
    return Difference(_counted(added), _counted(modified), _counted(removed))


def _counted(paths: Iterable[Path]) -> Paths:
    return frozenset(path for path in paths if path[:1] not in _IGNORED and path[:2] not in _IGNORED)


def children(kind: Kind, value: JsonValue, names: Names) -> dict[str, tuple[JsonValue, Names]] | None:
    """The parts of a value that can have owners of their own, by step; None where it has no such parts."""
    if isinstance(value, dict):
        return None if is_atomic(kind, names) else {f"f:{key}": (item, (*names, key)) for key, item in value.items()}
    if not isinstance(value, list) or (keys := list_keys(kind, names)) is None:
        return None
    if not keys:
        return {f"v:{_compact(item)}": (item, names) for item in value}
    items = [item for item in value if isinstance(item, dict)]
    if len(items) < len(value):
        return None
    return {f"k:{_compact(item_key(item, keys))}": (item, names) for item in items}


def _compact(value: JsonValue) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _walk(kind: Kind, value: JsonValue, path: Path, names: Names, *, every: bool) -> Iterator[Path]:
    """The paths of a value: its leaves and keyed items, or with `every` also the objects and lists on the way.

    Nobody owns a list of items while it has none.
    """
    parts = children(kind, value, names)
    empty = not parts and not (isinstance(value, list) and parts is not None)
    if every or empty or (path[-1:] and path[-1].startswith("k:")):
        yield path
    for step, (part, below) in (parts or {}).items():
        yield from _walk(kind, part, (*path, step), below, every=every)


@dataclass(frozen=True)
class _Sides:
    kind: Kind
    added: set[Path]
    modified: set[Path]
    removed: set[Path]


def _compare(sides: _Sides, before: JsonValue, after: JsonValue, path: Path, names: Names) -> None:
    if same(before, after):
        return
    old, new = children(sides.kind, before, names), children(sides.kind, after, names)
    if old is None or new is None:
        sides.modified.add(path)
        return
    for step, (part, below) in old.items():
        if step in new:
            _compare(sides, part, new[step][0], (*path, step), below)
        else:
            sides.removed.update(_walk(sides.kind, part, (*path, step), below, every=True))
    for step, (part, below) in new.items():
        if step not in old:
            sides.added.update(_walk(sides.kind, part, (*path, step), below, every=True))


def without(kind: Kind, body: JsonObject, gone: Paths) -> JsonObject:
    """A copy of the body without these fields."""
    result = _without(kind, body, gone, (), ())
    return result if isinstance(result, dict) else {}


def _without(kind: Kind, value: JsonValue, gone: Paths, path: Path, names: Names) -> JsonValue:
    parts = children(kind, value, names)
    if parts is None:
        return value
    kept = {
        step: _without(kind, part, gone, (*path, step), below)
        for step, (part, below) in parts.items()
        if (*path, step) not in gone
    }
    return list(kept.values()) if isinstance(value, list) else {step[2:]: part for step, part in kept.items()}


def encode(paths: Paths) -> JsonObject:
    """The nested form. A field with parts that is owned itself has a `.`."""
    root: JsonObject = {}
    for path in sorted(paths):
        place = root
        for step in path:
            place = object_at({"in": place.setdefault(step, {})}, "in")
        place["."] = {}
    _drop_lone_dots(root)
    return root


def _drop_lone_dots(fields: JsonObject) -> None:
    for inner in fields.values():
        if isinstance(inner, dict):
            if list(inner) == ["."]:
                del inner["."]
            _drop_lone_dots(inner)


def decode(fields: JsonObject) -> Paths:
    return frozenset(_decode(fields, ()))


def _decode(fields: JsonObject, path: Path) -> Iterator[Path]:
    if path and (not fields or "." in fields):
        yield path
    for step, inner in fields.items():
        if isinstance(inner, dict) and len(path) < _DEEPEST and _is_step(step):
            yield from _decode(inner, (*path, step))


def _is_step(step: str) -> bool:
    """Clients may send managed fields too."""
    if not step.startswith(("k:", "v:")):
        return step.startswith("f:")
    try:
        value = json.loads(step[2:])
    except ValueError:
        return False
    return isinstance(value, dict) or step.startswith("v:")


def spelt(path: Path) -> str:
    """As messages name it: `.spec.containers[name="app"].image`."""
    return "".join(_spelt(step) for step in path)


def _spelt(step: str) -> str:
    if step.startswith("f:"):
        return f".{step[2:]}"
    if step.startswith("k:"):
        key = json.loads(step[2:])
        return "[" + ",".join(f"{name}={_compact(value)}" for name, value in key.items()) + "]"
    return f"[={step[2:]}]"
