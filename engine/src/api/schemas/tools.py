"""Tools on the wire."""

from pydantic import BaseModel

from src.api.schemas.base import JsonObject

__all__ = ["ToolList", "ToolView"]


class ToolView(BaseModel):
    """A tool that the caller could use.

    `requires_approval`: a person must decide before it runs, unless its arguments are such that the policy allows it.
    """

    name: str
    title: str
    description: str
    annotations: JsonObject
    tags: list[str]
    server: str
    requires_approval: bool


class ToolList(BaseModel):
    tools: list[ToolView]
