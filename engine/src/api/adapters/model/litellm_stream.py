"""Put back what LiteLLM drops from the stream of an OpenAI-compatible provider."""

from collections.abc import AsyncIterator
from typing import Any

from skyflo_common.jsontypes import objects_at
from src.api.adapters.model.chat_completions import StreamParser
from src.api.adapters.model.content import split_content, thinking_in
from src.api.schemas.base import JsonObject

__all__ = ["UnabridgedStream"]

_KEPT = frozenset(
    (
        *("role", "content", "tool_calls", "function_call", "refusal", "audio", "images", "annotations"),
        *("reasoning", "reasoning_content", "thinking_blocks", "provider_specific_fields"),
    )
)
"""Members of a message that LiteLLM hands on."""


class UnabridgedStream:
    """A provider's own stream, as LiteLLM reads it.

    LiteLLM ignores content in parts and members that it doesn't know. Here text and thinking move to where it reads
    them, and the other members go to `parser` as the turn's state.
    """

    def __init__(self, inner: Any, parser: StreamParser) -> None:
        self._inner = inner
        self._items: AsyncIterator[Any] = inner.__aiter__()
        self._parser = parser

    @staticmethod
    def without_known(event: JsonObject) -> JsonObject:
        """Remove from an event of LiteLLM what this stream has taken from the provider's already."""
        for choice in objects_at(event, "choices"):
            delta = choice.get("delta")
            if isinstance(delta, dict):
                choice["delta"] = {name: value for name, value in delta.items() if name in _KEPT}
        return event

    def __aiter__(self) -> "UnabridgedStream":
        return self

    async def __anext__(self) -> Any:
        chunk = await anext(self._items)
        choices = getattr(chunk, "choices", None)
        delta = getattr(choices[0], "delta", None) if choices else None
        if delta is not None and hasattr(delta, "model_dump"):
            self._complete(delta, delta.model_dump(warnings=False))
        return chunk

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def _complete(self, delta: Any, members: JsonObject) -> None:
        dropped: JsonObject = {
            name: value for name, value in members.items() if name not in _KEPT and value is not None
        }
        thinking = thinking_in(members)
        if isinstance(content := members.get("content"), list):
            delta.content, thought = split_content(content)
            thinking = thought or thinking
        if thinking and not members.get("reasoning_content") and not members.get("reasoning"):
            delta.reasoning_content = thinking
        if dropped:
            self._parser.keep_state(dropped)
