"""Compare JSON values."""

from skyflo_common.jsontypes import JsonValue

__all__ = ["json_equal"]


def json_equal(one: JsonValue, other: JsonValue) -> bool:
    """Compare two values as JSON does: `true` and `1` differ, although they are equal in Python."""
    return one is other or (one == other and _same_json_types(one, other))


def _same_json_types(one: JsonValue, other: JsonValue) -> bool:
    """Compare the types of two values that are already equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same_json_types(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(_same_json_types(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other)
