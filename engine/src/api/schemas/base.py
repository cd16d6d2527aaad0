"""What every wire model has in common."""

from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue

__all__ = ["A_NUMBER", "Json", "JsonObject", "Wire"]

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
