"""Timeline entries of a conversation.

Plain dataclasses, since a timeline has thousands of them, and without slots: orjson serializes those five times slower.
"""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import orjson
from pydantic import Field, GetPydanticSchema

from src.api.schemas.approvals import Effect
from src.api.schemas.base import Verbatim, VerbatimList, VerbatimObject, verbatim
from src.api.schemas.runs import ApprovalView

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

VerbatimApproval = Annotated[Verbatim, GetPydanticSchema(lambda _, handler: handler(ApprovalView))]

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
    """A run that has not ended. `state` says whether it runs, waits in the queue, or waits for approval."""

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
    """A call. `requires_approval` is as in `tools.pending`; a call that replaces another one always requires it.

    A change also has its `approval`, as `GET /agent/approvals/{call_id}` shows it, and its `effect`.
    """

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
    started_at: int | None = None
    ended_at: int | None = None
    approval: VerbatimApproval | None = None
    effect: Effect | None = None


@dataclass(frozen=True, kw_only=True)
class ToolSegment:
    kind: Literal["tool"] = "tool"
    id: str
    toolExecution: ToolExecution  # noqa: N815
    timestamp: int


Segment = Annotated[TextSegment | ThinkingSegment | ToolSegment, Field(discriminator="kind")]


@dataclass(frozen=True, kw_only=True)
class TokenTotals:
    """Usage of one answer. `cost` is in US dollars; null if a price is unknown."""

    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    ttft_ms: int | None = None
    ttr_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class SummaryNote:
    """From this answer on, the model got `text` in place of the conversation's oldest `messages`, which stay.

    It was made before the segment `before`, or after all of them.
    """

    id: str
    version: int
    text: str
    messages: int
    model: str
    timestamp: int
    before: str | None = None


@dataclass(frozen=True, kw_only=True)
class UserEntry:
    id: str
    type: Literal["user"] = "user"
    content: str
    timestamp: int
    replaces: str | None = None


@dataclass(frozen=True, kw_only=True)
class AssistantEntry:
    """The output of one run, in order. `content` is its joined texts, `error` why it failed."""

    id: str
    type: Literal["assistant"] = "assistant"
    run_id: str
    content: str
    timestamp: int
    segments: list[Segment]
    token_usage: TokenTotals
    error: str | None = None
    summaries: list[SummaryNote] = field(default_factory=list)


Entry = Annotated[UserEntry | AssistantEntry, Field(discriminator="type")]


@dataclass(frozen=True, kw_only=True)
class ConversationDetail:
    """A conversation with its timeline. `title` is empty until there is one.

    `truncated`: older messages are left out, because of `limit` or of the response's size. `before` with the id of
    the first one reads them.
    """

    status: Literal["success"] = "success"
    exists: Literal[True] = True
    id: str
    title: str
    is_active: bool
    created_at: int
    conversation_metadata: VerbatimObject
    messages: list[Entry]
    active_run: ActiveRun | None
    truncated: bool = False

    def as_json(self) -> bytes:
        """Serialize the response."""
        return orjson.dumps(self, default=verbatim)
