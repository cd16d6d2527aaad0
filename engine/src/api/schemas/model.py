"""What passes between the engine and a language model: plain data."""

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
    "TextDelta",
    "ThinkingDelta",
    "Usage",
]


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message of the history as a model sees it. `calls` only on role assistant, `call_id` only on role tool."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    calls: tuple["ChatCall", ...] = ()
    call_id: str | None = None


@dataclass(frozen=True, slots=True)
class ChatCall:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class FunctionSpec:
    """A tool as a model sees it; `parameters` is its JSON Schema."""

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
class CallDelta:
    """A piece of a tool call, as the provider numbered and named it: not to be trusted in either."""

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `cost` in US dollars, None where no price is known."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cost: float | None = None
    source: Literal["provider", "estimated"] = "provider"


@dataclass(frozen=True, slots=True)
class Finished:
    """Comes last and only on a stream that the provider ended by itself; without it the stream was cut."""

    reason: Literal["stop", "length", "tool_calls", "content_filter"]
    usage: Usage


ModelChunk = TextDelta | ThinkingDelta | CallDelta | Finished
