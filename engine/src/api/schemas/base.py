"""What every wire model has in common."""

from typing import Annotated, Any

import orjson
from pydantic import BaseModel, BeforeValidator, ConfigDict, GetCoreSchemaHandler, GetPydanticSchema, JsonValue
from pydantic_core import CoreSchema

__all__ = ["A_NUMBER", "Json", "JsonObject", "Verbatim", "VerbatimList", "VerbatimObject", "Wire", "verbatim"]

Json = JsonValue
JsonObject = dict[str, JsonValue]


def _number(value: object) -> object:
    if isinstance(value, (bool, str)):
        raise ValueError("should be a number")  # noqa: TRY004 - pydantic tells it as a fault of the request
    return value


A_NUMBER = BeforeValidator(_number)
"""For an `int` of a body, behind its bounds: 5 and 5.0 as JSON has it, and neither "5" nor true."""


class Wire(BaseModel):
    """A model of the wire: immutable, and unknown fields are an error rather than a loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Verbatim:
    """JSON of a row of ours on its way to a client: the text that it is, read by nobody in between."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def read(self) -> Any:
        """The value that the text stands for."""
        return orjson.loads(self.text)


def verbatim(value: object) -> orjson.Fragment:
    """For `orjson.dumps(default=)`: writes what is verbatim, and refuses what JSON can't carry."""
    if isinstance(value, Verbatim):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON")


def _object(_: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler(JsonObject)


def _list(_: object, handler: GetCoreSchemaHandler) -> CoreSchema:
    return handler(list[Json])


VerbatimObject = Annotated[Verbatim, GetPydanticSchema(_object)]
VerbatimList = Annotated[Verbatim, GetPydanticSchema(_list)]
"""What the text stands for, for the schema."""
