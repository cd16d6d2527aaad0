"""Bodies of the agent endpoints."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from src.api.schemas.base import JsonObject

__all__ = ["ChatRequest", "DecisionRequest", "SettleRequest", "Started", "StopRequest", "Stopped", "UserMessage"]

MAX_MESSAGE = 100_000
OnBusy = Literal["refuse", "enqueue", "interrupt"]
Reason = Annotated[str, Field(max_length=2_000)]


class UserMessage(BaseModel):
    """One message as a client sends it. Only the last one of role user counts."""

    model_config = ConfigDict(extra="ignore")
    role: Literal["user", "assistant", "system", "tool"]
    content: str = Field(max_length=MAX_MESSAGE)


class ChatRequest(BaseModel):
    """`messages` may hold the client's whole history; the server's own is what counts."""

    model_config = ConfigDict(extra="forbid")
    messages: list[UserMessage] = Field(min_length=1, max_length=1_000)
    conversation_id: UUID | None = None
    on_busy: OnBusy = "refuse"
    replaces: UUID | None = None


class DecisionRequest(BaseModel):
    """`despite_unknown` names changes to the same object whose outcome is unknown, and says to go on all the same."""

    model_config = ConfigDict(extra="forbid")
    approve: StrictBool
    conversation_id: UUID
    reason: Reason | None = None
    digest: str | None = Field(default=None, max_length=64)
    args: JsonObject | None = None
    despite_unknown: list[str] = Field(default_factory=list, max_length=20)


class SettleRequest(BaseModel):
    """A person's word on an outcome that can't be proven. Both fields or neither."""

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


class Started(BaseModel):
    """Where to follow a run from: `after` is the sequence number of the last event that the caller need not see."""

    run_id: str
    conversation_id: str
    after: int
