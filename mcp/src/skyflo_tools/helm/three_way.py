"""Build the patch of a three-way merge: what a new manifest sets, and what the old one had and it no longer has."""

from collections.abc import Sequence

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.merge_patches import merge_key


def three_way_patch(old: JsonObject, new: JsonObject, strategic: bool) -> JsonObject:
    """Return a merge patch, or a strategic one, that leaves alone what neither manifest names."""
    removed: JsonObject = {key: None for key in old if key not in new}
    return removed | {key: _patch_value(key, old.get(key), value, strategic) for key, value in new.items()}


def _patch_value(key: str, old: JsonValue, new: JsonValue, strategic: bool) -> JsonValue:
    if isinstance(new, dict):
        return three_way_patch(old if isinstance(old, dict) else {}, new, strategic)
    if isinstance(new, list) and strategic:
        return _patch_list(key, old if isinstance(old, list) else [], new)
    return new


def _patch_list(key: str, old: Sequence[JsonValue], new: list[JsonValue]) -> JsonValue:
    """Return the items of a list that strategic patches merge by a key, with the removal of items that are gone."""
    by = merge_key(key, [*old, *new])
    if by is None:
        return new
    before = {str(item[by]): item for item in old if isinstance(item, dict)}
    names = {str(item[by]) for item in new if isinstance(item, dict)}
    items: list[JsonValue] = [
        three_way_patch(before.get(str(item[by]), {}), item, strategic=True) for item in new if isinstance(item, dict)
    ]
    gone: list[JsonValue] = [{"$patch": "delete", by: item[by]} for name, item in before.items() if name not in names]
    return [*items, *gone]
