"""Types for JSON, and readers that return a default for a missing or mistyped value.

They replace the engine's schemas, whose import alone would take half of the permitted start time.
`tests/cli/test_contract.py` compares them with the schemas.
"""

import json
from typing import TypeAlias

__all__ = ["Json", "JsonObject", "flag", "inner", "number", "objects", "parse_object", "strings", "text"]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]


def parse_object(raw: str | bytes) -> JsonObject:
    """Parse a JSON object. Raises `ValueError` for anything else."""
    found: Json = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the text is wrong, not a caller's type
    return found


def text(source: JsonObject, name: str, default: str = "") -> str:
    found = source.get(name)
    return found if isinstance(found, str) else default


def number(source: JsonObject, name: str, default: int = 0) -> int:
    found = source.get(name)
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else default


def flag(source: JsonObject, name: str) -> bool | None:
    """Return a boolean, or None if it is missing."""
    found = source.get(name)
    return found if isinstance(found, bool) else None


def inner(source: JsonObject, name: str) -> JsonObject:
    found = source.get(name)
    return found if isinstance(found, dict) else {}


def objects(source: JsonObject, name: str) -> list[JsonObject]:
    found = source.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def strings(source: JsonObject, name: str) -> list[str]:
    found = source.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
