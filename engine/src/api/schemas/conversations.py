"""Request and response bodies of conversations."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from src.api.schemas.base import JsonObject
from src.api.schemas.timeline import ActiveRun

__all__ = [
    "ConversationChange",
    "ConversationCreate",
    "ConversationDeleted",
    "ConversationList",
    "ConversationStarted",
    "ConversationSummary",
    "Pagination",
]

MAX_TITLE = 200
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE)]


class ConversationCreate(BaseModel):
    model_config = ConfigDict(extra="forbid")
    conversation_id: UUID | None = None
    title: Title | None = None


class ConversationChange(BaseModel):
    """Fields to change; omitted ones stay."""

    model_config = ConfigDict(extra="forbid")
    title: Title | None = None
    is_active: StrictBool | None = None
    conversation_metadata: JsonObject | None = None


class ConversationStarted(BaseModel):
    status: Literal["success"] = "success"
    id: str
    title: str = Field(description="Empty until there is one")
    created_at: int


class ConversationSummary(BaseModel):
    id: str
    title: str = Field(description="Empty until there is one")
    is_active: bool
    created_at: int
    updated_at: int
    active_run: ActiveRun | None = None


class Pagination(BaseModel):
    """Send `next_cursor` as `cursor` in the next request; it is opaque."""

    limit: int
    next_cursor: str | None
    has_more: bool


class ConversationList(BaseModel):
    status: Literal["success"] = "success"
    data: list[ConversationSummary]
    pagination: Pagination


class ConversationDeleted(BaseModel):
    status: Literal["success"] = "success"
    id: str
