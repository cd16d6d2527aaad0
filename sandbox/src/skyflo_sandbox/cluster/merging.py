"""Merging what a client applies into what is there: by keys where a list has them, else as a whole."""

from skyflo_sandbox.cluster.fieldpaths import children
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.structure import Names
from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["merged"]


def merged(kind: Kind, live: JsonObject, config: JsonObject) -> JsonObject:
    """The live object with the fields of the configuration. Neither is changed."""
    result = _merge(kind, live, config, ())
    return result if isinstance(result, dict) else {}


def _merge(kind: Kind, live: JsonValue, config: JsonValue, names: Names) -> JsonValue:
    old, new = children(kind, live, names), children(kind, config, names)
    if old is None or new is None or isinstance(live, dict) != isinstance(config, dict):
        return config
    parts = {
        step: (
            _merge(kind, old[step][0], new[step][0], new[step][1])
            if step in old and step in new
            else (new if step in new else old)[step][0]
        )
        for step in _ordered(list(old), list(new))
    }
    return list(parts.values()) if isinstance(config, list) else {step[2:]: part for step, part in parts.items()}


def _ordered(old: list[str], new: list[str]) -> list[str]:
    """The items of both lists: those of the new one as it has them, the others as near to their place as that allows.

    Both lists are walked at once. An item of both is taken where the new list has it, so the old one passes over it
    while another shared item is still to come before.
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
