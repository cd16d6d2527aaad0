"""Parse the JSON text of our own rows."""

import json

from src.api.schemas.base import Json, JsonObject

__all__ = ["load_list", "load_object"]


def load_object(text: str) -> JsonObject:
    """Parse an object; any other value is returned under the key `value`."""
    value: Json = json.loads(text)
    return value if isinstance(value, dict) else {"value": value}


def load_list(text: str) -> list[Json]:
    value: Json = json.loads(text)
    return value if isinstance(value, list) else [value]
