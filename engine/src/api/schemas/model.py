"""Requests to a language model and the chunks of its answer, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from src.api.schemas.base import JsonObject

__all__ = [
    "CallDelta",
    "ChatCall",
    "ChatMessage",
    "Finished",
    "FunctionSpec",
    "ModelChunk",
    "ModelRequest",
    "ProviderState",
    "TextDelta",
    "TextWasThinking",
    "ThinkingDelta",
    "Usage",
]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message as a model sees it. `calls` and `state` only with role assistant, `call_id` only with role tool."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple["ChatCall", ...] = ()
    call_id: str | None = None
    state: "ProviderState | None" = None


@dataclass(frozen=True, slots=True)
class ProviderState:
    """What a provider sent with a turn and expects back with it. Only the adapter that made it reads it.

    `origin` names provider and model: another model does not get it. The state of a call is in `ChatCall.state`.
    """

    origin: str
    message: JsonObject


@dataclass(frozen=True, slots=True)
class ChatCall:
    id: str
    name: str
    arguments: str
    state: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A tool as a model sees it. `parameters` is its JSON Schema."""

    name: str
    description: str
    parameters: JsonObject


@dataclass(frozen=True, slots=True)
class ModelRequest:
    model: str
    messages: Sequence[ChatMessage]
    tools: Sequence[FunctionSpec] = ()
    temperature: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    text: str


@dataclass(frozen=True, slots=True)
class TextWasThinking:
    """All text so far was thinking: its end was marked, and its beginning was not."""


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a tool call. Index, id and name are the provider's and not reliable. `state` belongs to the call."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    state: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call. `cost` is in US dollars, None if no price is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    source: Literal["provider", "estimated"] = "provider"


@dataclass(frozen=True, slots=True)
class Finished:
    """The last chunk of a stream that the provider ended by itself. Without it the stream was cut.

    `state` must go back to the provider with this turn.
    """

    reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage
    state: ProviderState | None = None


ModelChunk = TextDelta | ThinkingDelta | TextWasThinking | CallDelta | Finished
