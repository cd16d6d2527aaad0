"""Find the fields at which two versions of an object differ.

A path is a list of steps: `.key` for a member of an object, `@name` for the list item with that name, `#3` for a list
item by index.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical, text_at
from skyflo_tools.kubernetes.pruning import comparable

FieldPath = tuple[str, ...]
_IDENTITY_PATHS: frozenset[FieldPath] = frozenset(
    {
        (".apiVersion",),
        (".kind",),
        (".metadata", ".name"),
        (".metadata", ".namespace"),
        (".metadata", ".resourceVersion"),
    }
)
_PLAIN_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-$")


class Missing:
    """An absent value, as opposed to null."""


MISSING = Missing()
Value = JsonValue | Missing


def changed_paths(before: JsonObject, after: JsonObject) -> list[FieldPath]:
    """Return the paths of the values in which two versions of an object differ, ignoring server-set metadata."""
    return list(_differing_paths(comparable(before), comparable(after), ()))


def lost_paths(before: JsonObject, after: JsonObject) -> list[FieldPath]:
    """Return the paths of what is gone or empty in the later version, without what is below such a path."""
    old, new = comparable(before), comparable(after)
    return [path for key in sorted(old) for path in _lost(old[key], new.get(key, MISSING), (f".{key}",))]


def leaf_paths(body: JsonObject) -> list[FieldPath]:
    """Return the paths of all values that a manifest sets, for an object that is to be created."""
    return [path for path in _walk_leaves(comparable(body), ()) if path not in _IDENTITY_PATHS]


def value_at(body: JsonObject | None, path: FieldPath) -> Value:
    value: Value = body if body is not None else MISSING
    for step in path:
        value = follow_step(value, step)
    return value


def follow_step(value: Value, step: str) -> Value:
    mark, key = step[0], step[1:]
    if mark == "." and isinstance(value, dict):
        return value.get(key, MISSING)
    if not isinstance(value, list):
        return MISSING
    if mark == "#":
        return value[int(key)] if int(key) < len(value) else MISSING
    return next((item for item in value if text_at(item, "name") == key), MISSING)


def is_under(path: FieldPath, roots: Iterable[FieldPath]) -> bool:
    """Return whether the path is one of these, or below one."""
    return any(path[: len(root)] == root for root in roots)


def overlaps(path: FieldPath, others: Iterable[FieldPath]) -> bool:
    """Return whether the path is one of these, below one, or above one."""
    return any(path[: len(other)] == other[: len(path)] for other in others)


def format_path(path: FieldPath) -> str:
    """Return a path for people: `spec.template.spec.containers[api].env`."""
    text = ""
    for step in path:
        key = step[1:][:100]
        if step[0] == "." and _PLAIN_KEY_CHARACTERS.issuperset(key):
            text += f".{key}" if text else key
        else:
            text += f'["{key}"]' if step[0] == "." else f"[{key}]"
    return text


def names_of_items(items: Sequence[JsonValue]) -> list[str]:
    """Return the names of the items of a list, or nothing unless each item has a unique name."""
    names = [text_at(item, "name") for item in items]
    return names if all(names) and len(set(names)) == len(names) else []


def _differing_paths(before: Value, after: Value, path: FieldPath) -> Iterable[FieldPath]:
    old, new = _members(before, after), _members(after, before)
    if old is not None and new is not None:
        for key in sorted(old.keys() | new.keys()):
            yield from _differing_paths(old.get(key, MISSING), new.get(key, MISSING), (*path, f".{key}"))
    elif isinstance(before, list) and isinstance(after, list) and (steps := _match_items(before, after)):
        for step in steps:
            yield from _differing_paths(follow_step(before, step), follow_step(after, step), (*path, step))
    elif not _is_equal(before, after):
        yield path


def _members(value: Value, other: Value) -> JsonObject | None:
    """Return the members of an object. What is absent counts as an object without members if the other has some."""
    if isinstance(value, dict):
        return value
    return {} if isinstance(value, Missing) and isinstance(other, dict) and other else None


def _is_equal(before: Value, after: Value) -> bool:
    if isinstance(before, Missing) or isinstance(after, Missing):
        return before is after
    return canonical(before) == canonical(after)


def _match_items(before: list[JsonValue], after: list[JsonValue]) -> list[str]:
    """Return the steps that pair the items of two lists, or none if only the whole lists can be compared."""
    old, new = names_of_items(before), names_of_items(after)
    if old and new:
        common_old, common_new = [n for n in old if n in new], [n for n in new if n in old]
        return [f"@{name}" for name in dict.fromkeys(old + new)] if common_old == common_new else []
    return [f"#{index}" for index in range(len(before))] if len(before) == len(after) else []


def _lost(before: JsonValue, after: Value, path: FieldPath) -> Iterable[FieldPath]:
    if before in (None, "", {}, []):
        return
    if isinstance(after, Missing) or after in (None, "", {}, []) or _is_structure(before) != _is_structure(after):
        yield path
    elif isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before):
            yield from _lost(before[key], after.get(key, MISSING), (*path, f".{key}"))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _lost_items(before, after, path)


def _is_structure(value: Value) -> type | None:
    return next((kind for kind in (dict, list) if isinstance(value, kind)), None)


def _lost_items(before: list[JsonValue], after: list[JsonValue], path: FieldPath) -> Iterable[FieldPath]:
    names = names_of_items(before)
    if names and names_of_items(after):
        for name, item in zip(names, before, strict=True):
            yield from _lost(item, follow_step(after, f"@{name}"), (*path, f"@{name}"))
        return
    kept = Counter(canonical(item) for item in after)
    for index, item in enumerate(before):
        if kept[canonical(item)] > 0:
            kept[canonical(item)] -= 1
        elif len(after) < len(before):
            yield (*path, f"#{index}")
        else:
            yield from _lost(item, after[index], (*path, f"#{index}"))


def _walk_leaves(value: JsonValue, path: FieldPath) -> Iterable[FieldPath]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _walk_leaves(value[key], (*path, f".{key}"))
    elif isinstance(value, list) and value:
        names = names_of_items(value)
        for index, item in enumerate(value):
            yield from _walk_leaves(item, (*path, f"@{names[index]}" if names else f"#{index}"))
    else:
        yield path
