"""JSON values, and safe ways to reach into them."""

import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from pydantic import JsonValue

__all__ = [
    "Json",
    "JsonObject",
    "JsonValue",
    "canonical",
    "dig",
    "number_at",
    "object_at",
    "objects_at",
    "strings_at",
    "text_at",
    "texts_at",
    "without",
]

Json: TypeAlias = JsonValue
JsonObject: TypeAlias = dict[str, JsonValue]


def canonical(value: JsonValue) -> str:
    """Serialize a JSON value in the one spelling that digests are made over. Raises ValueError for NaN and infinities.

    The engine signs the digest of a call's arguments, and the tool server compares it.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def dig(value: JsonValue, *path: str) -> JsonValue:
    """Return the value at a path of keys, or None where the path ends early."""
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def text_at(value: JsonValue, *path: str) -> str:
    """Return the string at the path, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, str) else ""


def number_at(value: JsonValue, *path: str) -> int | None:
    """Return the whole number at the path, or None."""
    found = dig(value, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def object_at(value: JsonValue, *path: str) -> JsonObject:
    """Return the object at the path, or an empty one."""
    found = dig(value, *path)
    return found if isinstance(found, dict) else {}


def objects_at(value: JsonValue, *path: str) -> list[JsonObject]:
    """Return the objects of the list at the path; other items are left out."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def strings_at(value: JsonValue, *path: str) -> dict[str, str]:
    """Return the string members of the object at the path, such as labels."""
    return {key: item for key, item in object_at(value, *path).items() if isinstance(item, str)}


def texts_at(value: JsonValue, *path: str) -> list[str]:
    """Return the strings of the list at the path; other items are left out."""
    found = dig(value, *path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def without(value: Mapping[str, JsonValue], keys: Sequence[str]) -> JsonObject:
    """Return a shallow copy without these keys."""
    return {key: item for key, item in value.items() if key not in keys}
