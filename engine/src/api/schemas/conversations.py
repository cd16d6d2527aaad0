"""Conversations on the wire: lists, and the bodies that change them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from src.api.schemas.base import JsonObject
from src.api.schemas.timeline import ActiveRun

__all__ = [
    "ConversationChange",
    "ConversationList",
    "ConversationStarted",
    "ConversationSummary",
    "ConversationWanted",
    "Done",
    "Pagination",
]

MAX_TITLE = 200
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE)]


class ConversationWanted(BaseModel):
    model_config = ConfigDict(extra="forbid")
    conversation_id: UUID | None = None
    title: Title | None = None


class ConversationChange(BaseModel):
    """What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")
    title: Title | None = None
    is_active: StrictBool | None = None
    conversation_metadata: JsonObject | None = None


class ConversationStarted(BaseModel):
    status: Literal["success"] = "success"
    id: str
    title: str | None
    created_at: int


class ConversationSummary(BaseModel):
    id: str
    title: str | None
    is_active: bool
    created_at: int
    updated_at: int
    active_run: ActiveRun | None = None


class Pagination(BaseModel):
    """`next_cursor` goes into the next request as `cursor`; it is opaque."""

    limit: int
    next_cursor: str | None
    has_more: bool


class ConversationList(BaseModel):
    status: Literal["success"] = "success"
    data: list[ConversationSummary]
    pagination: Pagination


class Done(BaseModel):
    status: Literal["success"] = "success"
    id: str
