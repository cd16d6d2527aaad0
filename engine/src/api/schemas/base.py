"""What every wire model has in common."""

from pydantic import BaseModel, ConfigDict, JsonValue

__all__ = ["Json", "JsonObject", "Wire"]

Json = JsonValue
JsonObject = dict[str, JsonValue]


class Wire(BaseModel):
    """A model of the wire: immutable, and unknown fields are an error rather than a loss."""

    model_config = ConfigDict(extra="forbid", frozen=True)
