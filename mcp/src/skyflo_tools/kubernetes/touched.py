"""Which values a change touches, and fingerprints of them before and after.

A path is a list of steps: `.key` into an object, `@name` to the list's item of that name, `#3` to an item by place.
"""

from collections.abc import Iterable

from skyflo_tools.jsontypes import JsonObject, JsonValue, canonical, text_at
from skyflo_tools.kubernetes.pruning import comparable
from skyflo_tools.redaction import Fingerprints

Path = tuple[str, ...]
_IDENTITY: frozenset[Path] = frozenset(
    {
        (".apiVersion",),
        (".kind",),
        (".metadata", ".name"),
        (".metadata", ".namespace"),
        (".metadata", ".resourceVersion"),
    }
)


class _Missing:
    """Not there at all, which is not the same as null."""


MISSING = _Missing()
Value = JsonValue | _Missing


def touched(before: JsonObject, after: JsonObject) -> list[Path]:
    """The paths at which two states of an object differ, bookkeeping and status aside."""
    return list(_differences(comparable(before), comparable(after), ()))


def leaves(body: JsonObject) -> list[Path]:
    """The paths that a manifest sets: what a creation is about."""
    return [path for path in _leaves(comparable(body), ()) if path not in _IDENTITY]


def value_at(body: JsonObject | None, path: Path) -> Value:
    value: Value = body if body is not None else MISSING
    for step in path:
        value = _step(value, step)
    return value


def fingerprint(body: JsonObject | None, paths: Iterable[Path], fingerprints: Fingerprints) -> str:
    """One keyed fingerprint over the values at the paths."""
    values: list[JsonValue] = []
    for path in paths:
        value = value_at(body, path)
        present: list[JsonValue] = [] if isinstance(value, _Missing) else [value]
        values.append([list(path), present])
    return fingerprints.of(canonical(values))


def _step(value: Value, step: str) -> Value:
    mark, key = step[0], step[1:]
    if mark == "." and isinstance(value, dict):
        return value.get(key, MISSING)
    if not isinstance(value, list):
        return MISSING
    if mark == "#":
        return value[int(key)] if int(key) < len(value) else MISSING
    return next((item for item in value if text_at(item, "name") == key), MISSING)


def _differences(before: Value, after: Value, path: Path) -> Iterable[Path]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted(before.keys() | after.keys()):
            yield from _differences(before.get(key, MISSING), after.get(key, MISSING), (*path, f".{key}"))
    elif isinstance(before, list) and isinstance(after, list) and (steps := _common_steps(before, after)):
        for step in steps:
            yield from _differences(_step(before, step), _step(after, step), (*path, step))
    elif not _equal(before, after):
        yield path


def _equal(before: Value, after: Value) -> bool:
    if isinstance(before, _Missing) or isinstance(after, _Missing):
        return before is after
    return canonical(before) == canonical(after)


def _common_steps(before: list[JsonValue], after: list[JsonValue]) -> list[str]:
    """How the items of two lists belong together, or nothing if only the lists as wholes can be compared."""
    old, new = _names(before), _names(after)
    if old and new:
        common_old, common_new = [n for n in old if n in new], [n for n in new if n in old]
        return [f"@{name}" for name in dict.fromkeys(old + new)] if common_old == common_new else []
    return [f"#{index}" for index in range(len(before))] if len(before) == len(after) else []


def _names(items: list[JsonValue]) -> list[str]:
    """The items' names, if each has one of its own."""
    names = [text_at(item, "name") for item in items]
    return names if all(names) and len(set(names)) == len(names) else []


def _leaves(value: JsonValue, path: Path) -> Iterable[Path]:
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _leaves(value[key], (*path, f".{key}"))
    elif isinstance(value, list) and value:
        names = _names(value)
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, f"@{names[index]}" if names else f"#{index}"))
    else:
        yield path
