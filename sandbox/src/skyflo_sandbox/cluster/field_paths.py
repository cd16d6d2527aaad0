"""Sets of field paths, as field managers own them: collect, compare, encode as `fieldsV1`."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at
from skyflo_sandbox.cluster.json_equality import json_equal
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.merge_keys import SchemaPath, is_atomic, item_key, list_map_keys

__all__ = [
    "Difference",
    "Path",
    "Paths",
    "children",
    "compare",
    "decode",
    "encode",
    "format_path",
    "paths_of",
    "remove_paths",
]

Path = tuple[str, ...]
"""Path steps in the notation of `fieldsV1`: `f:name`, `k:{"name":"app"}`, `v:"x"`."""
Paths = frozenset[Path]

_MAX_DEPTH = 64
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
    """The field paths that differ between two objects."""

    added: Paths
    modified: Paths
    removed: Paths

    @property
    def written(self) -> Paths:
        return self.added | self.modified

    def __bool__(self) -> bool:
        return bool(self.added or self.modified or self.removed)


def paths_of(kind: Kind, body: JsonObject) -> Paths:
    """Return the fields that an applied configuration sets: its leaves and the items of keyed lists."""
    return _without_ignored(_walk(kind, body, (), (), include_containers=False)) - {()}


def compare(kind: Kind, before: JsonObject, after: JsonObject) -> Difference:
    added: set[Path] = set()
    modified: set[Path] = set()
    removed: set[Path] = set()
    _compare(_DifferenceBuilder(kind, added, modified, removed), before, after, (), ())
    return Difference(_without_ignored(added), _without_ignored(modified), _without_ignored(removed))


def _without_ignored(paths: Iterable[Path]) -> Paths:
    return frozenset(path for path in paths if path[:1] not in _IGNORED and path[:2] not in _IGNORED)


def children(kind: Kind, value: JsonValue, names: SchemaPath) -> dict[str, tuple[JsonValue, SchemaPath]] | None:
    """Return the parts of a value that can have different owners, by step; None if it has no such parts."""
    if isinstance(value, dict):
        return None if is_atomic(kind, names) else {f"f:{key}": (item, (*names, key)) for key, item in value.items()}
    if not isinstance(value, list) or (keys := list_map_keys(kind, names)) is None:
        return None
    if not keys:
        return {f"v:{_compact(item)}": (item, names) for item in value}
    items = [item for item in value if isinstance(item, dict)]
    if len(items) < len(value):
        return None
    return {f"k:{_compact(item_key(item, keys))}": (item, names) for item in items}


def _compact(value: JsonValue) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _walk(kind: Kind, value: JsonValue, path: Path, names: SchemaPath, *, include_containers: bool) -> Iterator[Path]:
    """Yield the paths of a value: leaves and keyed list items; with `include_containers` also the objects and lists.

    An empty list of items has no owner and yields nothing.
    """
    parts = children(kind, value, names)
    empty = not parts and not (isinstance(value, list) and parts is not None)
    if include_containers or empty or (path[-1:] and path[-1].startswith("k:")):
        yield path
    for step, (part, below) in (parts or {}).items():
        yield from _walk(kind, part, (*path, step), below, include_containers=include_containers)


@dataclass(frozen=True)
class _DifferenceBuilder:
    kind: Kind
    added: set[Path]
    modified: set[Path]
    removed: set[Path]


def _compare(builder: _DifferenceBuilder, before: JsonValue, after: JsonValue, path: Path, names: SchemaPath) -> None:
    if json_equal(before, after):
        return
    old, new = children(builder.kind, before, names), children(builder.kind, after, names)
    if old is None or new is None:
        builder.modified.add(path)
        return
    for step, (part, below) in old.items():
        if step in new:
            _compare(builder, part, new[step][0], (*path, step), below)
        else:
            builder.removed.update(_walk(builder.kind, part, (*path, step), below, include_containers=True))
    for step, (part, below) in new.items():
        if step not in old:
            builder.added.update(_walk(builder.kind, part, (*path, step), below, include_containers=True))


def remove_paths(kind: Kind, body: JsonObject, removed_paths: Paths) -> JsonObject:
    """Return a copy of the body without these fields."""
    result = _remove(kind, body, removed_paths, (), ())
    return result if isinstance(result, dict) else {}


def _remove(kind: Kind, value: JsonValue, removed_paths: Paths, path: Path, names: SchemaPath) -> JsonValue:
    parts = children(kind, value, names)
    if parts is None:
        return value
    kept = {
        step: _remove(kind, part, removed_paths, (*path, step), below)
        for step, (part, below) in parts.items()
        if (*path, step) not in removed_paths
    }
    return list(kept.values()) if isinstance(value, list) else {step[2:]: part for step, part in kept.items()}


def encode(paths: Paths) -> JsonObject:
    """Encode paths as nested `fieldsV1`. A field that is owned itself and has owned parts gets a `.` entry."""
    root: JsonObject = {}
    for path in sorted(paths):
        node = root
        for step in path:
            node = object_at({"in": node.setdefault(step, {})}, "in")
        node["."] = {}
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
        if isinstance(inner, dict) and len(path) < _MAX_DEPTH and _is_step(step):
            yield from _decode(inner, (*path, step))


def _is_step(step: str) -> bool:
    """Return whether a step is well-formed; clients may send managed fields of any content."""
    if not step.startswith(("k:", "v:")):
        return step.startswith("f:")
    try:
        value = json.loads(step[2:])
    except ValueError:
        return False
    return isinstance(value, dict) or step.startswith("v:")


def format_path(path: Path) -> str:
    """Format a path as error messages do: `.spec.containers[name="app"].image`."""
    return "".join(_format_step(step) for step in path)


def _format_step(step: str) -> str:
    if step.startswith("f:"):
        return f".{step[2:]}"
    if step.startswith("k:"):
        key = json.loads(step[2:])
        return "[" + ",".join(f"{name}={_compact(value)}" for name, value in key.items()) + "]"
    return f"[={step[2:]}]"
