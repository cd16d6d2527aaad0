"""JSON objects, and safe ways to reach into them."""

from pydantic import JsonValue

__all__ = ["JsonObject", "JsonValue", "dig", "number_at", "object_at", "objects_at", "same", "strings_at", "text_at"]

JsonObject = dict[str, JsonValue]


def dig(value: JsonValue, *path: str) -> JsonValue:
    """What stands at the path of keys, or None where the path ends early."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text_at(value: JsonValue, *path: str) -> str:
    """The string at the path, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number_at(value: JsonValue, *path: str) -> int | None:
    """The whole number at the path, or None."""
    found = dig(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def object_at(value: JsonValue, *path: str) -> JsonObject:
    """The object at the path, or an empty one. A view, not a copy."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def objects_at(value: JsonValue, *path: str) -> list[JsonObject]:
    """The objects of the list at the path; anything else in it is left out."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings_at(value: JsonValue, *path: str) -> dict[str, str]:
    """The string members of the object at the path, such as labels."""
    return {key: item for key, item in object_at(value, *path).items() if isinstance(item, str)}


def same(one: JsonValue, other: JsonValue) -> bool:
    """Whether two values are the same to JSON, which tells true from 1 where Python does not."""
    return one is other or (one == other and _same_types(one, other))


def _same_types(one: JsonValue, other: JsonValue) -> bool:
    """For values that are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(_same_types(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return all(_same_types(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other)
