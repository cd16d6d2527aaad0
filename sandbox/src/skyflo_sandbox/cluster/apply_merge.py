"""Merge an applied configuration into a live object: keyed lists by key, other lists as a whole."""

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.cluster.field_paths import children
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.merge_keys import SchemaPath

__all__ = ["merge_configuration"]


def merge_configuration(kind: Kind, live: JsonObject, config: JsonObject) -> JsonObject:
    """Return the live object with the configuration's fields. Neither argument is changed."""
    result = _merge(kind, live, config, ())
    return result if isinstance(result, dict) else {}


def _merge(kind: Kind, live: JsonValue, config: JsonValue, names: SchemaPath) -> JsonValue:
    old, new = children(kind, live, names), children(kind, config, names)
    if old is None or new is None or isinstance(live, dict) != isinstance(config, dict):
        return config
    parts = {
        step: (
            _merge(kind, old[step][0], new[step][0], new[step][1])
            if step in old and step in new
            else (new if step in new else old)[step][0]
        )
        for step in _merge_order(list(old), list(new))
    }
    return list(parts.values()) if isinstance(config, list) else {step[2:]: part for step, part in parts.items()}


def _merge_order(old: list[str], new: list[str]) -> list[str]:
    """Order the items of both lists: new items as the new list has them, others as close to their place as possible.

    The function walks both lists at once. A shared item is emitted at its place in the new list, so the walk of the old
    list skips it while another shared item has to come first.
    """
    result: list[str] = []
    shared = [step for step in new if step in old]
    left, right = list(old), list(new)
    while left or right:
        if left and right and left[0] != right[0] and left[0] in new and shared and left[0] != shared[0]:
            left.pop(0)
        elif left and left[0] not in new:
            result.append(left.pop(0))
        elif right:
            step = right.pop(0)
            left = left[1:] if left and (left[0] == step or left[0] in result) else left
            shared = [each for each in shared if each != step]
            result.append(step)
        else:
            left.pop(0)
    return result
