"""Keep what a provider sends with a turn and expects back with it: reasoning, signatures, and whatever else it adds.

The engine doesn't read these values. Pieces of a stream are joined by their JSON types.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from src.api.schemas.base import Json, JsonObject
from src.api.utils.text import join_characters

__all__ = ["StateCollector", "call_state"]

logger = logging.getLogger(__name__)

MAX_STATE = 1_048_576
MAX_CALL_STATE = 262_144

_OWN_FIELDS = frozenset(
    (
        *("role", "content", "tool_calls", "function_call", "refusal", "audio", "annotations", "name", "index"),
        *(
            "logprobs",
            "finish_reason",
            "stop_reason",
            "token_ids",
            "prompt_token_ids",
            "usage",
            "images",
            "tool_call_id",
        ),
    )
)
"""Members of a message that are read, or that only the answer has."""

_FIELDS_OF_CALLS = frozenset(("index", "id", "type", "function", "name", "arguments", "parameters", "input"))
_FIELDS_OF_FUNCTIONS = frozenset(("name", "arguments", "description", "parameters"))
_JOINED = frozenset(("text", "summary", "thinking", "content", "reasoning", "reasoning_content", "reasoning_text"))
"""Members that arrive in pieces. Others are sent once, or repeated."""

_SIGNATURE_SEPARATOR = "__thought__"
"""LiteLLM appends Gemini's signature to the id of a call, and reads it from `provider_specific_fields` as well."""


@dataclass(slots=True)
class StateCollector:
    """Collect the state of one turn from the pieces of its message."""

    _pieces: dict[str, list[Json]] = field(default_factory=dict)
    _size: int = 0

    def add(self, delta: JsonObject) -> bool:
        """Add the members of a piece that the engine doesn't read. Returns whether there were any."""
        added = {name: value for name, value in delta.items() if name not in _OWN_FIELDS and value is not None}
        for name, value in added.items():
            self.put(name, value)
        return bool(added)

    def put(self, name: str, value: Json) -> None:
        """Add a piece to one member. State beyond `MAX_STATE` is dropped as a whole."""
        self._size += len(name) + _size_of(value)
        if self._size <= MAX_STATE:
            self._pieces.setdefault(name, []).append(value)
        elif self._pieces:
            logger.warning(
                "a provider's state of one turn is larger than %d characters, so it is not returned",
                MAX_STATE,
                extra={"action": "model.state_dropped"},
            )
            self._pieces = {}

    def join(self) -> JsonObject:
        """Return the state of the whole turn."""
        return {name: _join(name, pieces) for name, pieces in self._pieces.items()}


def call_state(call: JsonObject) -> JsonObject | None:
    """Return the members of a tool call that the engine doesn't read, or None."""
    state: JsonObject = {
        name: value for name, value in call.items() if name not in _FIELDS_OF_CALLS and value is not None
    }
    function = call.get("function")
    if isinstance(function, dict):
        more: JsonObject = {
            name: value for name, value in function.items() if name not in _FIELDS_OF_FUNCTIONS and value is not None
        }
        if more:
            state["function"] = more
    if signature := str(call.get("id") or "").partition(_SIGNATURE_SEPARATOR)[2]:
        fields = state.get("provider_specific_fields")
        others = fields if isinstance(fields, dict) else {}
        state["provider_specific_fields"] = {"thought_signature": signature, **others}
    return state if state and _size_of(state) <= MAX_CALL_STATE else None


def _join(name: str, pieces: Sequence[Json]) -> Json:
    """Join the pieces of one member: texts and lists are continued, of other values the last one counts."""
    texts = [piece for piece in pieces if isinstance(piece, str)]
    if len(texts) == len(pieces):
        is_repeated = name not in _JOINED and len(set(texts)) == 1
        return join_characters(texts[0] if is_repeated else "".join(texts))
    lists = [piece for piece in pieces if isinstance(piece, list)]
    if len(lists) == len(pieces):
        return _join_items([item for piece in lists for item in piece])
    objects = [piece for piece in pieces if isinstance(piece, dict)]
    return _join_members(objects) if len(objects) == len(pieces) else pieces[-1]


def _join_items(items: Sequence[Json]) -> list[Json]:
    groups: list[list[Json]] = []
    for item in items:
        if groups and _continues(groups[-1], item):
            groups[-1].append(item)
        else:
            groups.append([item])
    return [_join("", group) for group in groups]


def _join_members(objects: Sequence[JsonObject]) -> JsonObject:
    names = dict.fromkeys(name for each in objects for name in each)
    joined: JsonObject = {}
    for name in names:
        values = [each[name] for each in objects if each.get(name) not in (None, "")]
        if not values:
            joined[name] = next(each[name] for each in objects if name in each)
        elif name in _JOINED:
            joined[name] = _join(name, values)
        else:
            joined[name] = _join(name, values[-1:])
    return joined


def _continues(group: Sequence[Json], item: Json) -> bool:
    """Whether an item is a further piece of the last one: of the same kind and place, and not after its signature."""
    first, last = group[0], group[-1]
    if not isinstance(first, dict) or not isinstance(last, dict) or not isinstance(item, dict):
        return False
    same = all(first.get(name) == item.get(name) for name in ("type", "index"))
    other_id = first.get("id") and item.get("id") and first["id"] != item["id"]
    is_ended = bool(last.get("signature")) and any(item.get(name) for name in _JOINED)
    return same and not other_id and not is_ended and not last.get("data") and not item.get("data")


def _size_of(value: Json) -> int:
    return len(value) if isinstance(value, str) else len(json.dumps(value))
