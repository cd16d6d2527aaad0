"""Conversations on the wire: lists, the timeline, and the bodies that change them."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from src.api.schemas.base import Json, JsonObject

__all__ = [
    "ActiveRun",
    "AssistantEntry",
    "ConversationChange",
    "ConversationDetail",
    "ConversationList",
    "ConversationStarted",
    "ConversationSummary",
    "ConversationWanted",
    "Done",
    "Entry",
    "Pagination",
    "Segment",
    "TextSegment",
    "ThinkingSegment",
    "TokenTotals",
    "ToolExecution",
    "ToolSegment",
    "ToolStatus",
    "UserEntry",
]

MAX_TITLE = 200
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE)]

ToolStatus = Literal[
    "pending",
    "awaiting_approval",
    "approved",
    "executing",
    "completed",
    "error",
    "denied",
    "expired",
    "superseded",
    "stale",
    "stopped",
    "unknown",
]


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


class ActiveRun(BaseModel):
    """A run that has not come to its end. `state` says whether it works, waits its turn, or waits for a person."""

    id: str
    run_id: str
    state: str
    created_at: int


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


class TextSegment(BaseModel):
    kind: Literal["text"] = "text"
    id: str
    text: str
    timestamp: int
    finish_reason: str | None = None


class ThinkingSegment(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    kind: Literal["thinking"] = "thinking"
    id: str
    text: str
    is_complete: bool = Field(serialization_alias="isComplete")
    duration_ms: int = Field(serialization_alias="durationMs")
    timestamp: int


class ToolExecution(BaseModel):
    """A call. `requires_approval` is what `tools.pending` said of it; one that took another's place always asks."""

    call_id: str
    tool: str
    title: str
    args: JsonObject
    status: ToolStatus
    result: list[Json] | None = None
    error: str | None = None
    requires_approval: bool
    supersedes: str | None = None
    timestamp: int


class ToolSegment(BaseModel):
    kind: Literal["tool"] = "tool"
    id: str
    tool_execution: ToolExecution = Field(serialization_alias="toolExecution")
    timestamp: int


Segment = Annotated[TextSegment | ThinkingSegment | ToolSegment, Field(discriminator="kind")]


class TokenTotals(BaseModel):
    """What the model calls of one answer used. `cost` is in US dollars; null where a price is not known."""

    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    ttft_ms: int | None = None
    ttr_ms: int | None = None


class UserEntry(BaseModel):
    id: str
    type: Literal["user"] = "user"
    content: str
    timestamp: int
    replaces: str | None = None


class AssistantEntry(BaseModel):
    """One answer: all that one run said and did, in order. `content` is its texts, joined; `error` why it failed."""

    id: str
    type: Literal["assistant"] = "assistant"
    run_id: str
    content: str
    timestamp: int
    segments: list[Segment]
    token_usage: TokenTotals
    error: str | None = None


Entry = Annotated[UserEntry | AssistantEntry, Field(discriminator="type")]


class ConversationDetail(BaseModel):
    """`truncated`: the conversation is longer than what one answer carries; its oldest messages are missing here."""

    status: Literal["success"] = "success"
    exists: Literal[True] = True
    id: str
    title: str | None
    is_active: bool
    created_at: int
    conversation_metadata: JsonObject
    messages: list[Entry]
    active_run: ActiveRun | None
    truncated: bool = False


class Done(BaseModel):
    status: Literal["success"] = "success"
    id: str
