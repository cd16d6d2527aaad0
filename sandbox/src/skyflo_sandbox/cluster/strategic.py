"""Strategic merge patches: lists are merged by the key of their kind, and `$patch` and its kin say otherwise."""

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.statuses import bad_request
from skyflo_sandbox.cluster.structure import Names, patch_key
from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["strategic_patched"]

_ORDER, _DELETED = "$setElementOrder/", "$deleteFromPrimitiveList/"
_PATCH, _RETAIN = "$patch", "$retainKeys"


def strategic_patched(kind: Kind, target: JsonObject, patch: JsonObject) -> JsonObject:
    """The target with the patch. Neither is changed. Raises `Refused` (400) for a list's item without its key."""
    return _object(kind, target, patch, ())


def _object(kind: Kind, target: JsonObject, patch: JsonObject, names: Names) -> JsonObject:
    directive = patch.get(_PATCH)
    if directive == "delete":
        return {}
    result = {} if directive == "replace" else dict(target)
    if isinstance(kept := patch.get(_RETAIN), list):
        result = {key: value for key, value in result.items() if key in kept}
    for key, value in patch.items():
        if key.startswith("$"):
            continue
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _value(kind, result.get(key), value, (*names, key))
    for key, value in patch.items():
        _deleted(result, key, value)
    for field in dict.fromkeys(key.removeprefix(_ORDER) for key in patch):
        _arrange(kind, result, target.get(field), patch, (*names, field))
    return result


def _value(kind: Kind, target: JsonValue, patch: JsonValue, names: Names) -> JsonValue:
    if isinstance(patch, dict):
        return _object(kind, target if isinstance(target, dict) else {}, patch, names)
    if not isinstance(patch, list):
        return patch
    key = patch_key(kind, names)
    there = target if isinstance(target, list) else []
    if key is None:
        return patch
    if not key:
        return [*there, *(item for item in patch if item not in there)]
    return _keyed(kind, there, patch, key, names)


def _keyed(kind: Kind, target: list[JsonValue], patch: list[JsonValue], key: str, names: Names) -> list[JsonValue]:
    items = [item for item in patch if isinstance(item, dict)]
    if len(items) < len(patch):
        raise bad_request(f"the list {'.'.join(names)} of a patch holds something else than objects")
    whole = any(item.get(_PATCH) == "replace" and key not in item for item in items)
    result: list[JsonValue] = [] if whole else list(target)
    for item in items:
        if key not in item:
            if item.get(_PATCH) == "replace":
                continue
            raise bad_request(f"map: {item!s:.200} does not contain declared merge key: {key}")
        place = next((at for at, old in enumerate(result) if isinstance(old, dict) and old.get(key) == item[key]), None)
        if item.get(_PATCH) == "delete":
            result = [old for old in result if not isinstance(old, dict) or old.get(key) != item[key]]
        elif place is None:
            result.append(_object(kind, {}, item, names))
        else:
            old = result[place]
            result[place] = _object(kind, old if isinstance(old, dict) else {}, item, names)
    return result


def _deleted(result: JsonObject, key: str, value: JsonValue) -> None:
    field = key.removeprefix(_DELETED)
    there = result.get(field)
    if key.startswith(_DELETED) and isinstance(value, list) and isinstance(there, list):
        result[field] = [item for item in there if item not in value]


def _arrange(kind: Kind, result: JsonObject, before: JsonValue, patch: JsonObject, names: Names) -> None:
    """Puts a merged list into order: what the patch names as the patch has it, the rest where it was before."""
    field, by = names[-1], patch_key(kind, names)
    there, server = result.get(field), before if isinstance(before, list) else []
    order = patch.get(f"{_ORDER}{field}", patch.get(field))
    if by is None or not isinstance(there, list) or not isinstance(order, list):
        return
    wanted, known = [_mark(item, by) for item in order], [_mark(item, by) for item in server]
    named = sorted(
        (item for item in there if _mark(item, by) in wanted), key=lambda item: wanted.index(_mark(item, by))
    )
    rest = [item for item in there if _mark(item, by) not in wanted]
    arranged: list[JsonValue] = []
    while named and rest:
        marks = _mark(rest[0], by), _mark(named[0], by)
        first = all(mark in known for mark in marks) and known.index(marks[0]) < known.index(marks[1])
        arranged.append((rest if first else named).pop(0))
    result[field] = [*arranged, *named, *rest]


def _mark(item: JsonValue, by: str) -> JsonValue:
    """What tells an item of a list from the others."""
    return item.get(by) if by and isinstance(item, dict) else item
