"""Base types of the wire models."""

from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetPydanticSchema, JsonValue
from pydantic_core import CoreSchema

__all__ = [
    "DISPLAY_NAME",
    "STRICT_NUMBER",
    "Json",
    "JsonObject",
    "Verbatim",
    "VerbatimList",
    "VerbatimObject",
    "WireModel",
    "verbatim",
]

Json = JsonValue
JsonObject = dict[str, JsonValue]


def _require_number(value: object) -> object:
    if isinstance(value, (bool, str)):
        raise ValueError("should be a number")  # noqa: TRY004 - pydantic reports a ValueError as a fault of the request
    return value


STRICT_NUMBER = BeforeValidator(_require_number)
"""Validator for an `int` in a body: accepts 5 and 5.0, rejects "5" and true. Place it after the bounds."""


DISPLAY_NAME: dict[str, JsonValue] = {"format": "display-name"}
"""JSON schema of a name that `check_name` accepts: one line, all of it visible."""


class WireModel(BaseModel):
    """Base class of wire models: immutable, and unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Verbatim:
    """Stored JSON text that is sent to clients without being parsed."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> Any:
        """Parse the text."""
        return orjson.loads(self.text)


def verbatim(value: object) -> orjson.Fragment:
    """Serialize `Verbatim` for `orjson.dumps(default=)`. Raises `TypeError` for other types."""
    if isinstance(value, Verbatim):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _object(_: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler(JsonObject)


def _list(_: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler(list[Json])


VerbatimObject = Annotated[Verbatim, GetPydanticSchema(_object)]
VerbatimList = Annotated[Verbatim, GetPydanticSchema(_list)]
"""Types that describe the parsed value in the schema."""
