"""The chat completions wire format: request models, and the JSON of whole and streamed answers."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from skyflo_common.jsontypes import JsonObject, JsonValue

__all__ = [
    "MODEL",
    "ChatRequest",
    "Message",
    "Reply",
    "ReplyCall",
    "completion_body",
    "completion_chunks",
    "error_body",
    "models_body",
]

MODEL = "sandbox"
MESSAGES_AT_MOST = 4_000
TOOLS_AT_MOST = 1_000
_PIECE = re.compile(r"\s*\S+")
_ARGUMENT_PIECE = 40

Name = Annotated[str, Field(max_length=300)]


class _Wire(BaseModel):
    """Ignore unknown fields, since clients send fields of their own."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Function(_Wire):
    name: Name
    arguments: str = "{}"


class ToolCall(_Wire):
    id: Annotated[str, Field(max_length=40_000)]
    function: Function


class Part(_Wire):
    type: str = "text"
    text: str | None = None


class Message(_Wire):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None

    @property
    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(part.text for part in self.content if part.text)
        return self.content or ""


class OfferedFunction(_Wire):
    name: Name


class Tool(_Wire):
    function: OfferedFunction


class StreamOptions(_Wire):
    include_usage: bool = False


class ChatRequest(_Wire):
    model: Name
    messages: Annotated[list[Message], Field(min_length=1, max_length=MESSAGES_AT_MOST)]
    tools: Annotated[list[Tool] | None, Field(default=None, max_length=TOOLS_AT_MOST)]
    tool_choice: str | dict[str, JsonValue] | None = None
    n: Annotated[int | None, Field(default=None, ge=1, le=1)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def offered(self) -> frozenset[str]:
        """Return the names of the tools that may be called."""
        if self.tool_choice == "none":
            return frozenset()
        return frozenset(tool.function.name for tool in self.tools or ())

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage


@dataclass(frozen=True)
class ReplyCall:
    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Reply:
    """An answer with its token counts, which are estimates."""

    text: str
    calls: tuple[ReplyCall, ...]
    created: int
    prompt_tokens: int

    @property
    def id(self) -> str:
        identity = orjson.dumps([self.text, [call.id for call in self.calls], self.prompt_tokens])
        return f"chatcmpl-{hashlib.sha256(identity).hexdigest()[:24]}"

    @property
    def reason(self) -> str:
        return "tool_calls" if self.calls else "stop"

    @property
    def usage(self) -> JsonObject:
        characters = len(self.text) + sum(len(call.name) + len(call.arguments) for call in self.calls)
        completion = -(-characters // 4)
        total = self.prompt_tokens + completion
        return {"prompt_tokens": self.prompt_tokens, "completion_tokens": completion, "total_tokens": total}


def completion_body(reply: Reply) -> JsonObject:
    """Build the body of an answer that is not streamed."""
    message: JsonObject = {"role": "assistant", "content": reply.text or None}
    if reply.calls:
        message["tool_calls"] = [_call(call) for call in reply.calls]
    choice: JsonObject = {"index": 0, "message": message, "finish_reason": reply.reason, "logprobs": None}
    return _envelope(reply, "chat.completion") | {"choices": [choice], "usage": reply.usage}


def completion_chunks(reply: Reply, *, usage: bool) -> Iterator[JsonObject]:
    """Build the chunks of a streamed answer: the text word by word, then each call with its arguments in pieces."""
    yield _chunk(reply, {"role": "assistant", "content": ""})
    for piece in _pieces(reply.text):
        yield _chunk(reply, {"content": piece})
    for index, call in enumerate(reply.calls):
        begun: JsonObject = {"index": index, **_call(ReplyCall(call.id, call.name, ""))}
        yield _chunk(reply, {"tool_calls": [begun]})
        for start in range(0, len(call.arguments), _ARGUMENT_PIECE):
            piece = call.arguments[start : start + _ARGUMENT_PIECE]
            yield _chunk(reply, {"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield _chunk(reply, {}, reply.reason)
    if usage:
        yield _envelope(reply, "chat.completion.chunk") | {"choices": [], "usage": reply.usage}


def error_body(message: str, kind: str = "invalid_request_error", code: str | None = None) -> JsonObject:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def models_body(created: int) -> JsonObject:
    model: JsonObject = {"id": MODEL, "object": "model", "created": created, "owned_by": "skyflo-sandbox"}
    return {"object": "list", "data": [model]}


def estimate_tokens(texts: Sequence[str]) -> int:
    """Estimate tokens at four characters each."""
    return sum(-(-len(text) // 4) for text in texts)


def _pieces(text: str) -> list[str]:
    found = _PIECE.findall(text)
    rest = text[sum(len(piece) for piece in found) :]
    return [*found, rest] if rest else found


def _call(call: ReplyCall) -> JsonObject:
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _envelope(reply: Reply, kind: str) -> JsonObject:
    return {"id": reply.id, "object": kind, "created": reply.created, "model": MODEL}


def _chunk(reply: Reply, delta: JsonObject, reason: str | None = None) -> JsonObject:
    choice: JsonObject = {"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}
    return _envelope(reply, "chat.completion.chunk") | {"choices": [choice]}
