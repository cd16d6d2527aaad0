"""JSON text of our own rows, back as JSON."""

import json

from src.api.schemas.base import Json, JsonObject

__all__ = ["shown_list", "shown_object"]


def shown_object(text: str) -> JsonObject:
    """The object that a row holds as text; anything else under `value`."""
    value: Json = json.loads(text)
    return value if isinstance(value, dict) else {"value": value}


def shown_list(text: str) -> list[Json]:
    value: Json = json.loads(text)
    return value if isinstance(value, list) else [value]
