"""The events of a run: one union, discriminated by `type`.

An event is a fact about a run. The journal adds the envelope (`run_id`, `seq`, `timestamp`, `conversation_id`) when it
commits the event, so these models contain the fact alone. `wire_schema()` describes what clients receive.
"""

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, TypeAdapter, create_model

from src.api.schemas.approvals import Effect, Person, PreviewView, Risk, Vote
from src.api.schemas.base import Json, JsonObject, WireModel
from src.api.schemas.budgets import BudgetScope, BudgetUnit

SEQ_PER_JOURNAL_EVENT = 10_000_000
"""The n-th journal event has `seq` n times this. Deltas after it are numbered by the characters sent since."""

FINAL_TYPES = ("workflow_complete", "workflow_error")
"""Types of the last event of a run that rests or has ended."""


class PendingTool(WireModel):
    """A call that the model requested, as listed by `tools.pending`.

    `requires_approval` is whether a person has to decide, by the current policy and the arguments; false for calls that
    the policy allows or denies. It is true if only the preview can tell.
    """

    call_id: str
    tool: str
    title: str
    args: JsonObject
    requires_approval: bool
    timestamp: int


class Ready(WireModel):
    type: Literal["ready"]


class Heartbeat(WireModel):
    type: Literal["heartbeat"]


Interruption = Literal["shutting_down", "access_ended", "removed", "internal"]


class StreamError(WireModel):
    """The stream ends although its run may go on.

    `resume` says whether the client should come back with the id of the last event that it has.
    """

    type: Literal["error"]
    error: str
    code: Interruption
    resume: bool


class GenerationStart(WireModel):
    type: Literal["generation.start"]
    generation_id: str
    model: str
    tools_available: int
    replaces: str | None = None


class Ttft(WireModel):
    type: Literal["ttft"]
    duration: int


class Thinking(WireModel):
    type: Literal["thinking"]
    generation_id: str
    text: str


class ThinkingComplete(WireModel):
    type: Literal["thinking.complete"]
    generation_id: str
    content: str
    duration_ms: int


class Token(WireModel):
    type: Literal["token"]
    generation_id: str
    text: str


class GenerationComplete(WireModel):
    type: Literal["generation.complete"]
    generation_id: str
    content: str
    tool_calls: int
    tokens_generated: int
    finish_reason: str


class TokenUsage(WireModel):
    """Usage of one model call: `main` for the answer's own calls, `title` for a title, `summary` for a summary.

    `cost` is in US dollars, or None if no price is known. `estimated`: the provider did not count the tokens.
    """

    type: Literal["token.usage"]
    source: Literal["main", "title", "summary"]
    estimated: bool = False
    model: str
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int
    cost: float | None = None


class ToolsPending(WireModel):
    type: Literal["tools.pending"]
    tools: list[PendingTool]


class ToolAwaitingApproval(WireModel):
    """A person must decide. The fields from `requester` on are added for the reader of each stream.

    `may_decide` is whether the reader's approval would count, by role and policy; `why_not` and `deciders` are as in
    the inbox. `votes` is empty: each vote is an event of its own.
    """

    type: Literal["tool.awaiting_approval"]
    call_id: str
    tool: str
    title: str
    args: JsonObject
    digest: str
    preview: PreviewView | None = None
    risk: Risk
    expires_at: int
    supersedes: str | None = None
    votes_needed: int = 1
    rule: str | None = None
    requester: str | None = None
    requester_user: Person | None = None
    votes: list[Vote] | None = None
    may_decide: bool | None = None
    why_not: str | None = None
    deciders: list[str] | None = None


class Decided(WireModel):
    """Base of the events that end a call's wait for a decision. `digest` identifies what was decided on.

    `decided_by` is a verified e-mail address or an id, or `policy:<rule>`; the two fields after it say which.
    """

    call_id: str
    tool: str
    title: str
    args: JsonObject
    decided_by: str | None = None
    decided_by_user: Person | None = None
    decided_by_policy: str | None = None
    reason: str | None = None
    digest: str | None = None


class ToolVote(Decided):
    """One of several required approvals was given; the call still waits."""

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


class ToolExecuting(WireModel):
    type: Literal["tool.executing"]
    call_id: str
    tool: str
    title: str
    args: JsonObject


class ToolProgress(WireModel):
    type: Literal["tool.progress"]
    call_id: str
    message: str | None = None
    progress: float | None = None
    total: float | None = None


class ToolResult(WireModel):
    type: Literal["tool.result"]
    call_id: str
    tool: str
    title: str
    result: list[Json]


class ToolError(WireModel):
    """A call failed or was never started. `effect` is what a change did outside nevertheless."""

    type: Literal["tool.error"]
    call_id: str
    tool: str
    title: str
    error: str
    effect: Effect | None = None


class ToolUnknown(WireModel):
    type: Literal["tool.unknown"]
    call_id: str
    tool: str
    title: str
    error: str


class ToolVerified(WireModel):
    type: Literal["tool.verified"]
    call_id: str
    tool: str
    title: str
    outcome: str
    evidence: str


class TitleGenerated(WireModel):
    type: Literal["conversation.title.generated"]
    title: str


class Retry(WireModel):
    """A model call failed and will be retried; `retry_in` is in seconds."""

    type: Literal["retry"]
    error: str
    retry_in: float
    attempt: int
    max_attempts: int


class BudgetNear(WireModel):
    """80 % of a budget are used. Sent once per run, or once per day, in the run that got there.

    `used` and `limit` are tokens or US dollars; `source` says where the limit is set.
    """

    type: Literal["budget.warning"]
    scope: BudgetScope
    unit: BudgetUnit
    used: int | float
    limit: int | float
    source: str
    message: str


class ContextCompacted(WireModel):
    """The model gets `summary` in place of the conversation's oldest `messages` from now on. They stay as they are.

    Each `version` covers what the one before it did.
    """

    type: Literal["context.compacted"]
    summary_id: str
    version: int
    messages: int
    summary: str
    model: str


class CompactionFailed(WireModel):
    """No summary could be made. The oldest messages are left out of what the model gets, where they don't fit."""

    type: Literal["context.compaction_failed"]
    error: str
    code: str


class Completed(WireModel):
    """The run rests or has ended. `duration_ms` counts from the message; people took `waited_ms` of it."""

    type: Literal["completed"]
    status: Literal["completed", "stopped", "error", "awaiting_approval"]
    duration_ms: int
    waited_ms: int = 0


class WorkflowComplete(WireModel):
    type: Literal["workflow_complete"]
    status: Literal["completed", "awaiting_approval", "stopped"]
    result: str


class WorkflowError(WireModel):
    type: Literal["workflow_error"]
    error: str
    code: str
    status: Literal["error"]


Event = Annotated[
    Ready
    | Heartbeat
    | StreamError
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
    | BudgetNear
    | ContextCompacted
    | CompactionFailed
    | Completed
    | WorkflowComplete
    | WorkflowError,
    Field(discriminator="type"),
]

EVENT: TypeAdapter[Event] = TypeAdapter(Event)

_INTERRUPTIONS: dict[Interruption, tuple[str, bool]] = {
    "shutting_down": ("The engine is stopping. The run goes on; connect again.", True),
    "access_ended": ("You may no longer read this. Sign in again, or ask an admin for access.", False),
    "removed": ("This conversation was deleted.", False),
    "internal": ("The stream failed in the engine. The run goes on; connect again.", True),
}


def build_interruption(code: Interruption) -> StreamError:
    """Build the last event of a stream that ends before its run rests."""
    error, resume = _INTERRUPTIONS[code]
    return StreamError(type="error", error=error, code=code, resume=resume)


class Envelope(BaseModel):
    """The fields that every event has on the wire. Times are milliseconds since the epoch."""

    run_id: str
    conversation_id: str | None = None
    timestamp: int
    seq: int | None = None


def wire_schema() -> JsonObject:
    """Return the JSON Schema of one `data:` line, built from the union above."""
    variants = get_args(get_args(Event)[0])
    wired = [create_model(variant.__name__, __base__=(Envelope, variant)) for variant in variants]
    union = reduce(or_, wired)
    told_apart: Any = Annotated[union, Field(discriminator="type")]
    schema = TypeAdapter(told_apart).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "RunEvent", **schema}
