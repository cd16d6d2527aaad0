"""The events of a run: one discriminated union, told apart by `type`.

An event is a fact about a run. Its envelope (`run_id`, `seq`, `timestamp`, `conversation_id`) is put on by the journal
when the fact is committed, so the models below hold the fact alone. `wire_schema()` is what a client sees.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, create_model

from src.api.schemas.base import Json, JsonObject, Wire

SEQ_PER_JOURNAL_EVENT = 10_000_000
"""The n-th journal event has `seq` n times this; what follows it is numbered by characters sent since."""


class PendingTool(Wire):
    """One call that the model asked for, as `tools.pending` lists it.

    `requires_approval`: whether a person will have to decide, by the policy in force and the arguments: neither on what
    it allows nor on what it denies. Where only the preview can tell, it is true.
    """

    call_id: str
    tool: str
    title: str
    args: JsonObject
    requires_approval: bool
    timestamp: int


class Ready(Wire):
    type: Literal["ready"]


class Heartbeat(Wire):
    type: Literal["heartbeat"]


class GenerationStart(Wire):
    type: Literal["generation.start"]
    generation_id: str
    model: str
    tools_available: int
    replaces: str | None = None


class Ttft(Wire):
    type: Literal["ttft"]
    duration: int


class Thinking(Wire):
    type: Literal["thinking"]
    generation_id: str
    text: str


class ThinkingComplete(Wire):
    type: Literal["thinking.complete"]
    generation_id: str
    content: str
    duration_ms: int


class Token(Wire):
    type: Literal["token"]
    generation_id: str
    text: str


class GenerationComplete(Wire):
    type: Literal["generation.complete"]
    generation_id: str
    content: str
    tool_calls: int
    tokens_generated: int
    finish_reason: str


class TokenUsage(Wire):
    """What one model call used; `cost` is in US dollars, or None where no price is known."""

    type: Literal["token.usage"]
    source: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    cost: float | None = None


class ToolsPending(Wire):
    type: Literal["tools.pending"]
    tools: list[PendingTool]


class ToolAwaitingApproval(Wire):
    type: Literal["tool.awaiting_approval"]
    call_id: str
    tool: str
    title: str
    args: JsonObject
    digest: str
    preview: JsonObject | None = None
    risk: str
    expires_at: int
    supersedes: str | None = None
    votes_needed: int = 1
    rule: str | None = None


class Decided(Wire):
    """Common to the events that end a call's waiting for a person. `digest`: of what was decided on."""

    call_id: str
    tool: str
    title: str
    args: JsonObject
    decided_by: str | None = None
    reason: str | None = None
    digest: str | None = None


class ToolVote(Decided):
    """One of several people whom the policy asks has said yes; the call still waits."""

    type: Literal["tool.vote"]
    votes: int
    votes_needed: int


class ToolApproved(Decided):
    type: Literal["tool.approved"]


class ToolDenied(Decided):
    type: Literal["tool.denied"]


class ToolExpired(Decided):
    type: Literal["tool.expired"]


class ToolSuperseded(Decided):
    type: Literal["tool.superseded"]


class ToolStale(Decided):
    type: Literal["tool.stale"]


class ToolExecuting(Wire):
    type: Literal["tool.executing"]
    call_id: str
    tool: str
    title: str
    args: JsonObject


class ToolProgress(Wire):
    type: Literal["tool.progress"]
    call_id: str
    message: str | None = None
    progress: float | None = None
    total: float | None = None


class ToolResult(Wire):
    type: Literal["tool.result"]
    call_id: str
    tool: str
    title: str
    result: list[Json]


class ToolError(Wire):
    type: Literal["tool.error"]
    call_id: str
    tool: str
    title: str
    error: str


class ToolUnknown(Wire):
    type: Literal["tool.unknown"]
    call_id: str
    tool: str
    title: str
    error: str


class ToolVerified(Wire):
    type: Literal["tool.verified"]
    call_id: str
    tool: str
    title: str
    outcome: str
    evidence: str


class TitleGenerated(Wire):
    type: Literal["conversation.title.generated"]
    title: str


class Retry(Wire):
    """A model call failed in a way worth repeating; `retry_in` is in seconds."""

    type: Literal["retry"]
    error: str
    retry_in: float
    attempt: int
    max_attempts: int


class Completed(Wire):
    type: Literal["completed"]
    status: Literal["completed", "stopped", "error", "awaiting_approval"]
    duration_ms: int


class WorkflowComplete(Wire):
    type: Literal["workflow_complete"]
    status: Literal["completed", "awaiting_approval", "stopped"]
    result: str


class WorkflowError(Wire):
    type: Literal["workflow_error"]
    error: str
    code: str
    status: Literal["error"]


Event = Annotated[
    Ready
    | Heartbeat
    | GenerationStart
    | Ttft
    | Thinking
    | ThinkingComplete
    | Token
    | GenerationComplete
    | TokenUsage
    | ToolsPending
    | ToolAwaitingApproval
    | ToolVote
    | ToolApproved
    | ToolDenied
    | ToolExpired
    | ToolSuperseded
    | ToolStale
    | ToolExecuting
    | ToolProgress
    | ToolResult
    | ToolError
    | ToolUnknown
    | ToolVerified
    | TitleGenerated
    | Retry
    | Completed
    | WorkflowComplete
    | WorkflowError,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)


class Envelope(BaseModel):
    """What every event of a run carries on the wire besides its own fields. Times are milliseconds since the epoch."""

    run_id: str
    conversation_id: str | None = None
    timestamp: int
    seq: int | None = None


def wire_schema() -> JsonObject:
    """The JSON Schema of one `data:` line, made from the union above."""
    variants = get_args(get_args(Event)[0])
    wired = [create_model(variant.__name__, __base__=(Envelope, variant)) for variant in variants]
    union = reduce(or_, wired)
    told_apart: Any = Annotated[union, Field(discriminator="type")]
    schema = TypeAdapter(told_apart).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "RunEvent", **schema}
