"""Build chat-completions requests and parse the streamed response.

Parsing is lenient, because a dozen hosts vary the format: a field of the wrong type counts as missing.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import orjson

from src.api.adapters.model.content import MessageReader
from src.api.adapters.model.errors import ErrorRedactor, parse_error
from src.api.errors import ModelCut
from src.api.ports import ChatCall, ChatMessage, FunctionSpec, ModelChunk, ModelRequest, ProviderState
from src.api.schemas.base import Json, JsonObject
from src.api.utils.text import clean

__all__ = [
    "Reason",
    "ReportedUsage",
    "RequestFormat",
    "StreamParser",
    "build_message",
    "build_request_body",
    "build_tool",
    "parse_finish_reason",
]

Reason = Literal["stop", "length", "tool_calls", "content_filter"]
MAX_COUNT = 1_000_000_000
FILLED_FIELD = "reasoning_content"

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
_FAILURES = {"error", "insufficient_system_resource", "malformed_function_call", "network_error"}


@dataclass(frozen=True, slots=True)
class RequestFormat:
    """How a host's requests differ: the name of the token limit, and the longest tool call id that it accepts.

    `origin` names the provider and the model. `state` says what happens to a turn's state: it is returned; or omitted,
    for a host that refuses it; or filled in where there is none, for a host that requires thinking with every call.
    """

    limit_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    id_length: int | None = None
    origin: str = ""
    state: Literal["return", "omit", "fill"] = "return"


@dataclass(frozen=True, slots=True)
class ReportedUsage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int


def build_request_body(request: ModelRequest, model: str, dialect: RequestFormat, *, usage: bool) -> bytes:
    """Build the JSON of one streamed call. `usage` requests token counts; some hosts refuse that option."""
    body: JsonObject = {
        "model": model,
        "messages": [build_message(message, dialect) for message in request.messages],
        "stream": True,
    }
    if request.tools:
        body["tools"] = [build_tool(tool) for tool in request.tools]
    if usage:
        body["stream_options"] = {"include_usage": True}
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.max_tokens is not None:
        body[dialect.limit_field] = request.max_tokens
    return orjson.dumps(body)


def build_message(message: ChatMessage, dialect: RequestFormat) -> JsonObject:
    """Build one message. A turn's state goes back to the provider and model that sent it, and to no other."""
    body: JsonObject = {"role": message.role, "content": clean(message.content)}
    own = message.state is not None and message.state.origin == dialect.origin and dialect.state != "omit"
    if message.calls:
        body["content"] = clean(message.content) or None
        body["tool_calls"] = [_build_call(call, dialect, own=own) for call in message.calls]
    if message.call_id is not None:
        body["tool_call_id"] = _call_id(message.call_id, dialect)
    if message.state is not None and own:
        body |= cast(JsonObject, _sendable(message.state.message))
    if dialect.state == "fill" and message.calls:
        body.setdefault(FILLED_FIELD, " ")
    return body


def _build_call(call: ChatCall, dialect: RequestFormat, *, own: bool) -> JsonObject:
    function: JsonObject = {"name": call.name, "arguments": clean(call.arguments)}
    body: JsonObject = {"id": _call_id(call.id, dialect), "type": "function", "function": function}
    if own and call.state is not None:
        state = cast(JsonObject, _sendable(call.state))
        more = state.pop("function", None)
        body |= state
        function |= more if isinstance(more, dict) else {}
    return body


def _sendable(value: Json) -> Json:
    """Return the value without characters that can't be encoded."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_sendable(item) for item in value]
    if isinstance(value, dict):
        return {clean(name): _sendable(item) for name, item in value.items()}
    return value


def _call_id(call_id: str, dialect: RequestFormat) -> str:
    if dialect.id_length is None or len(call_id) <= dialect.id_length:
        return call_id
    return "call_" + hashlib.sha256(call_id.encode()).hexdigest()[:32]


def build_tool(tool: FunctionSpec) -> JsonObject:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


@dataclass(slots=True)
class StreamParser:
    """Parse one streamed response. `finish_reason` is set once the provider says that the response is complete."""

    redact: ErrorRedactor
    finish_reason: Reason | None = None
    usage: ReportedUsage | None = None
    done: bool = False
    _message: MessageReader = field(default_factory=MessageReader)

    @property
    def received(self) -> int:
        """The number of characters of text, thinking and tool calls that arrived."""
        return self._message.received

    def parse_data(self, data: bytes) -> Iterator[ModelChunk]:
        """Parse one event's data into chunks. Raises `ModelError` for an error object, `ModelCut` for invalid JSON."""
        if data == b"[DONE]":
            self.done = True
            return
        if not data:
            return
        event = _parse_json(data)
        if isinstance(event, dict):
            yield from self.parse_event(event)

    def parse_event(self, event: JsonObject) -> Iterator[ModelChunk]:
        """Convert one parsed event into chunks."""
        if event.get("error") or (not event.get("choices") and event.get("detail")):
            raise parse_error(event, None, self.redact)
        usage = event.get("usage")
        if isinstance(usage, dict):
            self.usage = _parse_usage(usage)
        choices = event.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, dict) and not choice.get("index"):
            yield from self._parse_choice(choice)

    def finish(self) -> Reason:
        """Return the finish reason at the end of the stream. Raises `ModelCut` if the provider did not finish it.

        A bare `[DONE]` is enough for a text, but not for a tool call.
        """
        if self.finish_reason is None and (self._message.has_tool_call or not self.done):
            raise ModelCut("The model's stream ended before the provider said that the answer was complete.")
        return self.finish_reason or "stop"

    def keep_state(self, members: JsonObject) -> None:
        """Keep members of the message that its events don't carry."""
        self._message.keep_state(members)

    def rest(self) -> Iterator[ModelChunk]:
        """Yield what was held back because its next piece might have belonged to it. Call it after `finish`."""
        yield from self._message.finish()

    def state(self, origin: str) -> ProviderState | None:
        """Return what the provider expects back with this turn."""
        state = self._message.state()
        return None if state is None else ProviderState(origin, state)

    def _parse_choice(self, choice: JsonObject) -> Iterator[ModelChunk]:
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, dict):
            yield from self._message.read(delta)
        elif isinstance(text := choice.get("text"), str):
            yield from self._message.read({"content": text})
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = parse_finish_reason(reason)


def _parse_json(data: bytes) -> Json:
    """Parse JSON. orjson refuses half a surrogate pair and half a character of UTF-8, which some hosts send, so the
    slower parser follows; it keeps the bytes of such a half as escapes.
    """
    try:
        return cast(Json, orjson.loads(data))
    except orjson.JSONDecodeError:
        try:
            return cast(Json, json.loads(data.decode("utf-8", "surrogateescape")))
        except ValueError as error:
            raise ModelCut("The model's stream is invalid: one of its events is not JSON.") from error


def parse_finish_reason(text: str) -> Reason:
    """Map the provider's finish reason to the port's; unknown ones are `stop`. Raises `ModelCut` for a failure."""
    if text.lower() in _FAILURES:
        raise ModelCut(f"The model's provider aborted its answer ({text.lower()}).")
    return _REASONS.get(text.lower(), "stop")


def _parse_usage(usage: JsonObject) -> ReportedUsage:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else usage.get("prompt_cache_hit_tokens")
    prompt = _parse_count(usage.get("prompt_tokens"))
    return ReportedUsage(prompt, _parse_count(usage.get("completion_tokens")), min(_parse_count(cached), prompt))


def _parse_count(value: Json) -> int:
    return min(max(int(value), 0), MAX_COUNT) if isinstance(value, int | float) else 0
