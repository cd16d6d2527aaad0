"""Messages of the live feed: one union, discriminated by `type`. They name ids and the new state, and no contents."""

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter

from src.api.schemas.approvals import ApprovalStatus, Outcome, Risk
from src.api.schemas.base import JsonObject, WireModel
from src.api.schemas.events import Interruption, build_interruption

__all__ = [
    "FEED_MESSAGE",
    "ApprovalChanged",
    "ApprovalEventType",
    "ConversationChanged",
    "FeedError",
    "FeedHeartbeat",
    "FeedMessage",
    "FeedReady",
    "InboxCounts",
    "RunStateChanged",
    "build_feed_error",
    "encode",
    "feed_schema",
]

ApprovalEventType = Literal[
    "approval.requested",
    "approval.voted",
    "approval.decided",
    "approval.expired",
    "approval.stale",
    "approval.settled",
]
RunState = Literal["queued", "waiting", "running", "awaiting_approval", "completed", "failed", "stopped"]


class InboxCounts(WireModel):
    """How many approvals wait, wait for a decision that the reader may make, and have an unknown outcome.

    Each number is 2,000 at most.
    """

    waiting: int
    decidable: int
    unknown: int


class _Message(WireModel):
    """Base of the messages. `timestamp` is the engine's time in milliseconds since the epoch."""

    timestamp: int


class FeedReady(_Message):
    """The snapshot: everything that the feed covers is current from here on.

    It comes first, and again if the reader was too slow, or too much happened at once, for single messages.
    """

    type: Literal["ready"]
    counts: InboxCounts


class FeedHeartbeat(_Message):
    type: Literal["heartbeat"]


class FeedError(_Message):
    """The feed ends. A client that may `resume` connects again and gets a new snapshot."""

    type: Literal["error"]
    error: str
    code: Interruption
    resume: bool


class ApprovalChanged(_Message):
    """An approval was requested, voted on, decided or closed, or its outcome became known or unknown (`settled`).

    `decided` covers every end of the wait for a decision, also by a newer request (`superseded`) or a stop.
    """

    type: ApprovalEventType
    call_id: str
    run_id: str
    conversation_id: str
    status: ApprovalStatus
    outcome: Outcome | None = None
    risk: Risk
    expires_at: int


class RunStateChanged(_Message):
    type: Literal["run.started", "run.rested"]
    run_id: str
    conversation_id: str
    state: RunState


class ConversationChanged(_Message):
    """A conversation was created, has a new message, or a new title, flag or metadata; or it was removed."""

    type: Literal["conversation.changed", "conversation.removed"]
    conversation_id: str


FeedMessage = Annotated[
    FeedReady | FeedHeartbeat | FeedError | ApprovalChanged | RunStateChanged | ConversationChanged,
    Field(discriminator="type"),
]

FEED_MESSAGE: TypeAdapter[FeedMessage] = TypeAdapter(FeedMessage)


def build_feed_error(code: Interruption, timestamp: int) -> FeedError:
    """Build the last message of a feed. After every end a client may connect again: the answer says what is wrong."""
    error = build_interruption(code)
    return FeedError(type="error", timestamp=timestamp, error=error.error, code=code, resume=True)


def encode(message: FeedMessage) -> bytes:
    """Encode a message as a server-sent event without an id, because the feed is never replayed."""
    body = FEED_MESSAGE.dump_json(message, exclude_none=True)
    return b"event: " + message.type.encode() + b"\ndata: " + body + b"\n\n"


def feed_schema() -> JsonObject:
    """Return the JSON Schema of one `data:` line of the feed."""
    union: Any = Annotated[reduce(or_, get_args(get_args(FeedMessage)[0])), Field(discriminator="type")]
    schema = TypeAdapter(union).json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "FeedMessage", **schema}
