"""Apply merge patches to predict their result where the API server may not be asked."""

from collections.abc import Sequence

from skyflo_common.jsontypes import JsonObject, JsonValue, texts_at

_MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "ports": ("containerPort", "port"),
    "volumeMounts": ("mountPath",),
    "volumeDevices": ("devicePath",),
    "hostAliases": ("ip",),
    "topologySpreadConstraints": ("topologyKey",),
    "ownerReferences": ("uid",),
    "conditions": ("type",),
}
"""What identifies an item of a list in a strategic merge patch; of other lists of objects it is the name."""
_ORDER, _DELETE_ITEMS = "$setElementOrder/", "$deleteFromPrimitiveList/"


def apply_merge_patch(base: JsonObject, patch: JsonObject) -> JsonObject:
    """Apply a JSON merge patch (RFC 7386) to a copy of an object."""
    result = dict(base)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = apply_merge_patch(old if isinstance(old, dict) else {}, value)
        else:
            result[key] = value
    return result


def apply_strategic_patch(base: JsonObject, patch: JsonObject) -> JsonObject:
    """Apply a strategic merge patch to a copy of an object, as far as that can be known without the kind's schema."""
    directive = patch.get("$patch")
    if directive in ("replace", "delete"):
        return {} if directive == "delete" else {key: value for key, value in patch.items() if key != "$patch"}
    kept = texts_at(patch, "$retainKeys")
    result = {key: value for key, value in base.items() if not kept or key in kept}
    for key, value in patch.items():
        if key.startswith(_DELETE_ITEMS):
            name = key.removeprefix(_DELETE_ITEMS)
            dropped = texts_at(patch, key)
            _set_list(result, name, [item for item in texts_at(base, name) if item not in dropped])
        elif value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            old = result.get(key)
            result[key] = apply_strategic_patch(old if isinstance(old, dict) else {}, value)
        elif isinstance(value, list) and not key.startswith(("$retainKeys", _ORDER)):
            items = result.get(key)
            _set_list(result, key, _merge_list(key, items if isinstance(items, list) else [], value))
        elif not isinstance(value, list):
            result[key] = value
    return result


def merge_key(name: str, items: Sequence[JsonValue]) -> str | None:
    """Return the key by which a strategic merge patch distinguishes the items of a list; None for a plain list."""
    keys = _MERGE_KEYS.get(name, ("name",))
    named = {key for key in keys if items and all(isinstance(item, dict) and key in item for item in items)}
    return min(named, key=keys.index, default=None)


def _set_list(body: JsonObject, name: str, items: Sequence[JsonValue]) -> None:
    """Set a list. Built-in kinds leave out empty ones."""
    body.pop(name, None)
    if items:
        body[name] = list(items)


def _merge_list(name: str, old: Sequence[JsonValue], new: Sequence[JsonValue]) -> list[JsonValue]:
    if name == "finalizers":
        return [*new, *(item for item in old if item not in new)]
    keys = _MERGE_KEYS.get(name, ("name",))
    named = {key for key in keys if all(isinstance(item, dict) and key in item for item in [*old, *new])}
    if not named or {"$patch": "replace"} in new:
        return [item for item in new if item != {"$patch": "replace"}]
    key = min(named, key=keys.index)
    merged: dict[str, JsonObject] = {str(item[key]): item for item in old if isinstance(item, dict)}
    for item in new:
        if isinstance(item, dict) and item.get("$patch") == "delete":
            merged.pop(str(item[key]), None)
        elif isinstance(item, dict):
            merged[str(item[key])] = apply_strategic_patch(merged.get(str(item[key]), {}), item)
    return list(merged.values())
