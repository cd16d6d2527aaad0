"""Read the text, the thinking and the calls of a message, in whichever form a host sends them."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from src.api.adapters.model.pieces import CharacterJoiner, ThinkingTags
from src.api.adapters.model.provider_state import StateCollector, call_state
from src.api.ports import CallDelta, ModelChunk, TextDelta, ThinkingDelta
from src.api.schemas.base import Json, JsonObject

__all__ = ["MessageReader", "split_content", "thinking_in"]

MAX_DEPTH = 8

_THINKING_FIELDS = (
    "reasoning_content",
    "reasoning",
    "reasoning_text",
    "thinking",
    "reasoning_details",
    "thinking_blocks",
)
"""Members that hold thinking. vLLM sends the same thinking under two names, so only the first one is read."""

_TEXT_PARTS = frozenset(("text", "output_text", "input_text", "refusal"))
_THINKING_PARTS = frozenset(("thinking", "reasoning", "reasoning_text", "reasoning_content", "thought", "summary_text"))
_CALL_PARTS = frozenset(("tool_use", "tool_call", "function_call", "function", "toolUse"))
_SILENT_PARTS = frozenset(("redacted_thinking", "reasoning.encrypted", "reference", "signature"))
"""Parts without text for a person. They are returned with the turn."""

_TEXT_MEMBERS = ("text", "thinking", "reasoning", "summary", "content", "refusal")


@dataclass(slots=True)
class MessageReader:
    """Read one message from the pieces of its stream. `received` counts the characters that arrived."""

    received: int = 0
    has_tool_call: bool = False
    _state: StateCollector = field(default_factory=StateCollector)
    _text: CharacterJoiner = field(default_factory=CharacterJoiner)
    _thinking: CharacterJoiner = field(default_factory=CharacterJoiner)
    _tags: ThinkingTags = field(default_factory=ThinkingTags)
    _unknown_parts: Counter[str] = field(default_factory=Counter)
    _has_parts: bool = False
    _returns_parts: bool = False
    _has_call_state: bool = False

    def read(self, delta: JsonObject) -> Iterator[ModelChunk]:
        """Yield the chunks of one piece of the message."""
        self.received += self._state.add(delta)
        yield from self._think(thinking_in(delta))
        yield from self._read_content(delta.get("content"))
        yield from self._read_text(delta.get("refusal"))
        audio = delta.get("audio")
        if isinstance(audio, dict):
            yield from self._read_text(audio.get("transcript"))
        calls = delta.get("tool_calls")
        for position, call in enumerate(calls if isinstance(calls, list) else [calls]):
            if isinstance(call, dict):
                yield self._read_call(call, position)
        function = delta.get("function_call")
        if isinstance(function, dict):
            yield self._read_call({"function": function}, 0)

    def keep_state(self, members: JsonObject) -> None:
        """Keep members of the message that don't come with the pieces themselves."""
        self.received += self._state.add(members)

    def finish(self) -> Iterator[ModelChunk]:
        """Yield what was held back, and a note on parts of the message that can't be read."""
        if rest := self._thinking.rest():
            yield ThinkingDelta(rest)
        yield from self._tags.add(self._text.rest())
        yield from self._tags.rest()
        if self._unknown_parts:
            kinds = ", ".join(f"{count} of type {kind}" for kind, count in self._unknown_parts.items())
            yield TextDelta(f"\n\n[The model also sent parts that can't be shown: {kinds}.]")

    def state(self) -> JsonObject | None:
        """Return what must go back with this turn, or None. Content that was not plain text is a part of it."""
        if self._tags.seen and not self._has_parts:
            self._state.put("content", self._tags.raw)
        state = self._state.join()
        if self._has_parts and not self._returns_parts:
            state.pop("content", None)
        return state if state or self._has_call_state else None

    def _read_content(self, content: Json) -> Iterator[ModelChunk]:
        if isinstance(content, dict):
            content = [content]
        if not isinstance(content, list):
            yield from self._read_text(content)
            return
        self._has_parts = True
        for each in content:
            part: Json = {"type": "text", "text": each} if isinstance(each, str) else each
            self._returns_parts |= isinstance(part, dict) and part.get("type") not in _TEXT_PARTS
            if not isinstance(part, dict) or part.get("type") not in _CALL_PARTS:
                self._state.put("content", [part])
            yield from self._read_part(part)

    def _read_part(self, part: Json) -> Iterator[ModelChunk]:
        kind = part.get("type") if isinstance(part, dict) else type(part).__name__
        kind = kind if isinstance(kind, str) else "text" if "text" in cast(JsonObject, part) else "untyped"
        if not isinstance(part, dict):
            self._unknown_parts[kind] += 1
        elif kind in _TEXT_PARTS:
            yield from self._read_text(_text_of(part))
        elif kind in _THINKING_PARTS:
            yield from self._think(_text_of(part))
        elif kind in _CALL_PARTS:
            yield self._read_call(part, 0)
        elif kind not in _SILENT_PARTS:
            self._unknown_parts[kind[:40]] += 1

    def _read_text(self, text: Json) -> Iterator[ModelChunk]:
        if isinstance(text, str) and text:
            self.received += len(text)
            yield from self._tags.add(self._text.add(text))

    def _think(self, text: str) -> Iterator[ModelChunk]:
        if not text:
            return
        self.received += len(text)
        if whole := self._thinking.add(text):
            yield ThinkingDelta(whole)

    def _read_call(self, call: JsonObject, position: int) -> CallDelta:
        function = call.get("function")
        function = function if isinstance(function, dict) else call
        index = call.get("index")
        values = (function.get(name) for name in ("arguments", "parameters", "input"))
        arguments = next((value for value in values if value is not None), "")
        if not isinstance(arguments, str):  # Ollama sends an object
            arguments = json.dumps(arguments, separators=(",", ":"))
        state = call_state(call)
        self.has_tool_call = True
        self._has_call_state |= state is not None
        self.received += len(arguments)
        position = index if isinstance(index, int) else position
        return CallDelta(position, _str(call.get("id")), _str(function.get("name")), arguments, state)


def thinking_in(delta: JsonObject) -> str:
    """Return the thinking in the members of a message, without that in its content."""
    texts = (_text_of(delta.get(name)) for name in _THINKING_FIELDS)
    return next((text for text in texts if text), "")


def split_content(content: list[Json]) -> tuple[str, str]:
    """Return the text and the thinking of content in parts."""
    reader = MessageReader()
    chunks = [*reader.read({"content": content}), *reader.finish()]
    text = "".join(chunk.text for chunk in chunks if isinstance(chunk, TextDelta))
    return text, "".join(chunk.text for chunk in chunks if isinstance(chunk, ThinkingDelta))


def _text_of(value: Json, depth: int = 0) -> str:
    """Return the text of a member that may be a string, a part, or a list of parts."""
    if isinstance(value, str):
        return value
    if depth > MAX_DEPTH:
        return ""
    if isinstance(value, list):
        return "".join(_text_of(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return next((text for name in _TEXT_MEMBERS if (text := _text_of(value.get(name), depth + 1))), "")
    return ""


def _str(value: Json) -> str:
    return value if isinstance(value, str) else ""
