"""Strategic merge patches: merge lists by their key; `$patch` and similar directives override that."""

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.cluster.errors import bad_request
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.merge_keys import SchemaPath, patch_merge_key

__all__ = ["apply_strategic_patch"]

_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"
_PATCH, _RETAIN = "$patch", "$retainKeys"


def apply_strategic_patch(kind: Kind, target: JsonObject, patch: JsonObject) -> JsonObject:
    """Apply the patch. Neither argument is changed. Raises `ApiError` (400) for an item without its merge key."""
    return _merge_object(kind, target, patch, ())


def _merge_object(kind: Kind, target: JsonObject, patch: JsonObject, names: SchemaPath) -> JsonObject:
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
            result[key] = _merge_value(kind, result.get(key), value, (*names, key))
    for key, value in patch.items():
        _delete_from_list(result, key, value)
    for field in dict.fromkeys(key.removeprefix(_ORDER) for key in patch):
        _reorder(kind, result, target.get(field), patch, (*names, field))
    return result


def _merge_value(kind: Kind, target: JsonValue, patch: JsonValue, names: SchemaPath) -> JsonValue:
    if isinstance(patch, dict):
        return _merge_object(kind, target if isinstance(target, dict) else {}, patch, names)
    if not isinstance(patch, list):
        return patch
    key = patch_merge_key(kind, names)
    current = target if isinstance(target, list) else []
    if key is None:
        return patch
    if not key:
        return [*current, *(item for item in patch if item not in current)]
    return _merge_keyed_list(kind, current, patch, key, names)


def _merge_keyed_list(
    kind: Kind, target: list[JsonValue], patch: list[JsonValue], key: str, names: SchemaPath
) -> list[JsonValue]:
    items = [item for item in patch if isinstance(item, dict)]
    if len(items) < len(patch):
        raise bad_request(f"the list {'.'.join(names)} of the patch has items that are not objects")
    whole = any(item.get(_PATCH) == "replace" and key not in item for item in items)
    result: list[JsonValue] = [] if whole else list(target)
    for item in items:
        if key not in item:
            if item.get(_PATCH) == "replace":
                continue
            raise bad_request(f"map: {item!s:.200} does not contain declared merge key: {key}")
        position = next(
            (at for at, old in enumerate(result) if isinstance(old, dict) and old.get(key) == item[key]), None
        )
        if item.get(_PATCH) == "delete":
            result = [old for old in result if not isinstance(old, dict) or old.get(key) != item[key]]
        elif position is None:
            result.append(_merge_object(kind, {}, item, names))
        else:
            old = result[position]
            result[position] = _merge_object(kind, old if isinstance(old, dict) else {}, item, names)
    return result


def _delete_from_list(result: JsonObject, key: str, value: JsonValue) -> None:
    field = key.removeprefix(_DELETE)
    current = result.get(field)
    if key.startswith(_DELETE) and isinstance(value, list) and isinstance(current, list):
        result[field] = [item for item in current if item not in value]


def _reorder(kind: Kind, result: JsonObject, before: JsonValue, patch: JsonObject, names: SchemaPath) -> None:
    """Order a merged list: items of the patch in the patch's order, the rest in their previous order."""
    field, by = names[-1], patch_merge_key(kind, names)
    current, server = result.get(field), before if isinstance(before, list) else []
    order = patch.get(f"{_ORDER}{field}", patch.get(field))
    if by is None or not isinstance(current, list) or not isinstance(order, list):
        return
    wanted, known = [_item_id(item, by) for item in order], [_item_id(item, by) for item in server]
    named = sorted(
        (item for item in current if _item_id(item, by) in wanted), key=lambda item: wanted.index(_item_id(item, by))
    )
    rest = [item for item in current if _item_id(item, by) not in wanted]
    arranged: list[JsonValue] = []
    while named and rest:
        marks = _item_id(rest[0], by), _item_id(named[0], by)
        first = all(mark in known for mark in marks) and known.index(marks[0]) < known.index(marks[1])
        arranged.append((rest if first else named).pop(0))
    result[field] = [*arranged, *named, *rest]


def _item_id(item: JsonValue, by: str) -> JsonValue:
    """Return the value that identifies a list item."""
    return item.get(by) if by and isinstance(item, dict) else item
