"""The timeline of a conversation on the wire.

Plain dataclasses, since a timeline has thousands of them, and without slots: orjson writes those five times slower.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

import orjson
from pydantic import Field

from src.api.schemas.base import VerbatimList, VerbatimObject, verbatim

__all__ = [
    "ActiveRun",
    "AssistantEntry",
    "ConversationDetail",
    "Entry",
    "Segment",
    "TextSegment",
    "ThinkingSegment",
    "TokenTotals",
    "ToolExecution",
    "ToolSegment",
    "ToolStatus",
    "UserEntry",
]

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


@dataclass(frozen=True, kw_only=True)
class ActiveRun:
    """A run that has not come to its end. `state` says whether it works, waits its turn, or waits for a person."""

    id: str
    run_id: str
    state: str
    created_at: int


@dataclass(frozen=True, kw_only=True)
class TextSegment:
    kind: Literal["text"] = "text"
    id: str
    text: str
    timestamp: int
    finish_reason: str | None = None


@dataclass(frozen=True, kw_only=True)
class ThinkingSegment:
    kind: Literal["thinking"] = "thinking"
    id: str
    text: str
    isComplete: bool  # noqa: N815
    durationMs: int  # noqa: N815
    timestamp: int


@dataclass(frozen=True, kw_only=True)
class ToolExecution:
    """A call. `requires_approval` is what `tools.pending` said of it; one that took another's place always asks."""

    call_id: str
    tool: str
    title: str
    args: VerbatimObject
    status: ToolStatus
    result: VerbatimList | None = None
    error: str | None = None
    requires_approval: bool
    supersedes: str | None = None
    timestamp: int


@dataclass(frozen=True, kw_only=True)
class ToolSegment:
    kind: Literal["tool"] = "tool"
    id: str
    toolExecution: ToolExecution  # noqa: N815
    timestamp: int


Segment = Annotated[TextSegment | ThinkingSegment | ToolSegment, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class TokenTotals:
    """What the model calls of one answer used. `cost` is in US dollars; null where a price is not known."""

    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    ttft_ms: int | None = None
    ttr_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class UserEntry:
    id: str
    type: Literal["user"] = "user"
    content: str
    timestamp: int
    replaces: str | None = None


@dataclass(frozen=True, kw_only=True)
class AssistantEntry:
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


@dataclass(frozen=True, kw_only=True)
class ConversationDetail:
    """`truncated`: the conversation is longer than what one answer carries; its oldest messages are missing here."""

    status: Literal["success"] = "success"
    exists: Literal[True] = True
    id: str
    title: str | None
    is_active: bool
    created_at: int
    conversation_metadata: VerbatimObject
    messages: list[Entry]
    active_run: ActiveRun | None
    truncated: bool = False

    def as_json(self) -> bytes:
        """What a client is sent."""
        return orjson.dumps(self, default=verbatim)
