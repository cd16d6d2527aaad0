"""The chat-completions wire: a request's body, and the chunks of an answer.

Lenient in what it reads, since a dozen hosts speak dialects of it: a field of the wrong type counts as missing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import orjson

from src.api.adapters.model.failures import Redactor, failure
from src.api.errors import ModelCut, ModelError
from src.api.ports import CallDelta, ChatMessage, FunctionSpec, ModelChunk, ModelRequest, TextDelta, ThinkingDelta
from src.api.schemas.base import Json, JsonObject
from src.api.utils.text import clean

__all__ = [
    "Answer",
    "Dialect",
    "RawUsage",
    "Reason",
    "error_in",
    "finish_reason",
    "message_body",
    "request_body",
    "tool_body",
]

Reason = Literal["stop", "length", "tool_calls", "content_filter"]
MAX_COUNT = 1_000_000_000

_REASONS: Mapping[str, Reason] = {
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "length": "length",
    "max_tokens": "length",
    "model_length": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "blocklist": "content_filter",
    "prohibited_content": "content_filter",
    "spii": "content_filter",
}
_FAILED = {"error", "insufficient_system_resource", "malformed_function_call", "network_error"}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What a host wants said differently: the name of the answer's limit, and how long a call's id may be."""

    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    id_length: int | None = None


@dataclass(frozen=True, slots=True)
class RawUsage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


def request_body(request: ModelRequest, model: str, dialect: Dialect, *, usage: bool) -> bytes:
    """The JSON of one streamed call. `usage` asks for the token counts, which some hosts refuse to be asked for."""
    body: JsonObject = {
        "model": model,
        "messages": [message_body(message, dialect) for message in request.messages],
        "stream": True,
    }
    if request.tools:
        body["tools"] = [tool_body(tool) for tool in request.tools]
    if usage:
        body["stream_options"] = {"include_usage": True}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body[dialect.limit_field] = request.max_tokens
    return orjson.dumps(body)


def message_body(message: ChatMessage, dialect: Dialect) -> JsonObject:
    body: JsonObject = {"role": message.role, "content": clean(message.content)}
    if message.calls:
        body["content"] = clean(message.content) or None
        body["tool_calls"] = [
            {
                "id": _call_id(call.id, dialect),
                "type": "function",
                "function": {"name": call.name, "arguments": clean(call.arguments)},
            }
            for call in message.calls
        ]
    if message.call_id is not None:
        body["tool_call_id"] = _call_id(message.call_id, dialect)
    return body


def _call_id(call_id: str, dialect: Dialect) -> str:
    if dialect.id_length is None or len(call_id) <= dialect.id_length:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]


def tool_body(tool: FunctionSpec) -> JsonObject:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


@dataclass(slots=True)
class Answer:
    """What has been read of one answer. `reason` is the provider's word that it ended by itself."""

    redact: Redactor
    reason: Reason | None = None
    usage: RawUsage | None = None
    done: bool = False
    called: bool = False
    heard: int = field(default=0)

    def read(self, data: bytes) -> Iterator[ModelChunk]:
        """The chunks of one event's data. Raises `ModelError` for an error object, `ModelCut` for what is no JSON."""
        if data == b"[DONE]":
            self.done = True
            return
        if not data:
            return
        event = _parsed(data)
        if isinstance(event, dict):
            yield from self.take(event)

    def take(self, event: JsonObject) -> Iterator[ModelChunk]:
        """The chunks of one parsed event."""
        if event.get("error"):
            raise error_in(event, None, self.redact)
        usage = event.get("usage")
        if isinstance(usage, dict):
            self.usage = _usage(usage)
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict) and not choice.get("index"):
            yield from self._choice(choice)

    def end(self) -> Reason:
        """The reason, once nothing more will come. Raises `ModelCut` where the provider did not say that it ended.

        A bare `[DONE]` is enough for a text, but not for a tool call.
        """
        if self.reason is None and (self.called or not self.done):
            raise ModelCut("The model's stream ended before the provider said that the answer was complete.")
        return self.reason or "stop"

    def _choice(self, choice: JsonObject) -> Iterator[ModelChunk]:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            yield from self._delta(delta)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.reason = finish_reason(reason)

    def _delta(self, delta: JsonObject) -> Iterator[ModelChunk]:
        text = delta.get("content")
        if isinstance(text, str) and text:
            self.heard += len(text)
            yield TextDelta(clean(text))
        # vLLM sends the same thought under both names while it moves from one to the other.
        thought = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thought, str) and thought:
            self.heard += len(thought)
            yield ThinkingDelta(clean(thought))
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            for position, call in enumerate(calls):
                if isinstance(call, dict):
                    yield self._call(call, position)

    def _call(self, call: JsonObject, position: int) -> CallDelta:
        function = call.get("function")
        function = function if isinstance(function, dict) else {}
        index = call.get("index")
        arguments = function.get("arguments")
        if isinstance(arguments, dict):  # Ollama's own way
            arguments = orjson.dumps(arguments).decode()
        self.called = True
        self.heard += len(_text(arguments))
        return CallDelta(
            index if isinstance(index, int) else position,
            _text(call.get("id")),
            _text(function.get("name")),
            _text(arguments),
        )


def _parsed(data: bytes) -> Json:
    """Half of a surrogate pair, which some hosts send in an escape, is for the slower parser: orjson refuses it."""
    try:
        return cast(Json, orjson.loads(data))
    except orjson.JSONDecodeError:
        try:
            return cast(Json, json.loads(data))
        except ValueError as error:
            raise ModelCut("The model's stream was garbled: one of its events is not JSON.") from error


def finish_reason(text: str) -> Reason:
    """The provider's reason in the port's words; an unknown one counts as `stop`. Raises `ModelCut` for a failure."""
    if text.lower() in _FAILED:
        raise ModelCut(f"The model's provider broke off its answer ({text.lower()}).")
    return _REASONS.get(text.lower(), "stop")


def error_in(event: JsonObject, status: int | None, redact: Redactor, wait: float | None = None) -> ModelError:
    """The error that an error object tells of, wherever a host puts its message, code and type."""
    error = event.get("error", event)
    if not isinstance(error, dict):
        return failure(status, "", redact(_text(error) or _text(event.get("message"))), wait)
    code = error.get("code") or error.get("status")
    if status is None and str(code).isdecimal() and 400 <= int(str(code)) < 600:
        status = int(str(code))
    kind = " ".join(_text(error.get(name)) for name in ("type", "code", "status"))
    return failure(status, kind, redact(_text(error.get("message")) or _text(event.get("detail"))), wait)


def _usage(usage: JsonObject) -> RawUsage:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    prompt = _count(usage.get("prompt_tokens"))
    return RawUsage(prompt, _count(usage.get("completion_tokens")), min(_count(cached), prompt))


def _count(value: Json) -> int:
    return min(max(int(value), 0), MAX_COUNT) if isinstance(value, int | float) else 0


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
