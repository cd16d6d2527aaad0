"""JSON as it comes from the engine, and readers that take what is there and pass over what is not.

Typed by hand and not by the engine's schemas: their import alone would take half of the time that a start may take.
`tests/cli/test_contract.py` holds these readers to the schemas.
"""

import json
from typing import TypeAlias

__all__ = ["Json", "JsonObject", "flag", "inner", "number", "objects", "parsed", "strings", "text"]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = dict[str, Json]


def parsed(raw: str | bytes) -> JsonObject:
    """The object in this text. Raises `ValueError` for anything else."""
    found: Json = json.loads(raw)
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - the text is wrong, not a caller's type
    return found


def text(of: JsonObject, name: str, default: str = "") -> str:
    found = of.get(name)
    return found if isinstance(found, str) else default


def number(of: JsonObject, name: str, default: int = 0) -> int:
    found = of.get(name)
    return int(found) if isinstance(found, int | float) and not isinstance(found, bool) else default


def flag(of: JsonObject, name: str) -> bool | None:
    """None where nothing is said."""
    found = of.get(name)
    return found if isinstance(found, bool) else None


def inner(of: JsonObject, name: str) -> JsonObject:
    found = of.get(name)
    return found if isinstance(found, dict) else {}


def objects(of: JsonObject, name: str) -> list[JsonObject]:
    found = of.get(name)
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def strings(of: JsonObject, name: str) -> list[str]:
    found = of.get(name)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
