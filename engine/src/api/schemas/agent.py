"""Request and response bodies of the agent endpoints."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from src.api.schemas.base import JsonObject

__all__ = ["ChatRequest", "DecisionRequest", "ReconcileRequest", "StopRequest", "Stopped", "StreamStart", "UserMessage"]

MAX_MESSAGE = 100_000
OnBusy = Literal["refuse", "enqueue", "interrupt"]
Reason = Annotated[str, Field(max_length=2_000)]
ToolsetName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_./-]+$")]


class UserMessage(BaseModel):
    """A message as a client sends it. Only the last one with role user is used."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["user", "assistant", "system", "tool"]
    content: str = Field(max_length=MAX_MESSAGE)


class ChatRequest(BaseModel):
    """A new message. `messages` may contain the client's history, but the stored one is used.

    `toolsets` narrows the tools of the conversation from this message on, and is stored in its metadata; an empty list
    offers all again.
    """

    model_config = ConfigDict(extra="forbid")
    messages: list[UserMessage] = Field(min_length=1, max_length=1_000)
    conversation_id: UUID | None = None
    on_busy: OnBusy = "refuse"
    replaces: UUID | None = None
    toolsets: list[ToolsetName] | None = Field(default=None, max_length=50)


class DecisionRequest(BaseModel):
    """A decision. `despite_unknown` lists changes to the same object with an unknown outcome that the user accepts."""

    model_config = ConfigDict(extra="forbid")
    approve: StrictBool
    conversation_id: UUID
    reason: Reason | None = None
    digest: str | None = Field(default=None, max_length=64)
    args: JsonObject | None = None
    despite_unknown: list[str] = Field(default_factory=list, max_length=20)


class ReconcileRequest(BaseModel):
    """A user's statement about an outcome that can't be determined. Both fields or neither."""

    model_config = ConfigDict(extra="forbid")
    outcome: Literal["applied", "not_applied"] | None = None
    reason: Reason | None = None


class StopRequest(BaseModel):
    model_config = ConfigDict(extra="forbid")
    conversation_id: UUID
    run_id: UUID


class Stopped(BaseModel):
    status: Literal["stopped"] = "stopped"
    conversation_id: str
    run_id: str


class StreamStart(BaseModel):
    """Where to stream a run from: `after` is the sequence number of the last event to skip."""

    run_id: str
    conversation_id: str
    after: int
