"""Responses for tools."""

from pydantic import BaseModel

from src.api.schemas.base import JsonObject

__all__ = ["OmittedToolsView", "ToolList", "ToolView", "ToolsetView"]


class ToolView(BaseModel):
    """A tool that the caller may use. `toolsets` are the names by which a conversation can choose it.

    `requires_approval`: a person must decide before it runs, unless the policy allows the call by its arguments.
    """

    name: str
    title: str
    description: str
    annotations: JsonObject
    tags: list[str]
    server: str
    requires_approval: bool
    toolsets: list[str]


class ToolsetView(BaseModel):
    """A toolset that a conversation can be narrowed to, and how many tools it has."""

    name: str
    tools: int


class OmittedToolsView(BaseModel):
    """Tools of a server that no model is offered, and why. `tools` names the first hundred of `count`."""

    server: str
    reason: str
    tools: list[str]
    count: int


class ToolList(BaseModel):
    """The tools that a model is offered in a conversation without toolsets of its own, and those that it is not."""

    tools: list[ToolView]
    toolsets: list[ToolsetView]
    omitted: list[OmittedToolsView]
