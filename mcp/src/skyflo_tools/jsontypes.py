"""JSON as it comes from clients and from Kubernetes, and safe ways to reach into it."""

import json
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

__all__ = [
    "JsonObject",
    "JsonValue",
    "canonical",
    "dig",
    "number_at",
    "object_at",
    "objects_at",
    "strings_at",
    "text_at",
    "without",
]

JsonObject = dict[str, JsonValue]


def canonical(value: JsonValue) -> str:
    """The one spelling of a JSON value that digests are made over. Raises ValueError for NaN and infinities."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


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
    """The object at the path, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def objects_at(value: JsonValue, *path: str) -> list[JsonObject]:
    """The objects of the list at the path; anything else in it is left out."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings_at(value: JsonValue, *path: str) -> dict[str, str]:
    """The string members of the object at the path, such as labels."""
    return {key: item for key, item in object_at(value, *path).items() if isinstance(item, str)}


def without(value: Mapping[str, JsonValue], keys: Sequence[str]) -> JsonObject:
    """A shallow copy without these keys."""
    return {key: item for key, item in value.items() if key not in keys}
