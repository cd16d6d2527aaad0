"""Fit a conversation into a model's context window.

Messages are dropped oldest first and whole: a call together with its results. The system prompt, the user's latest
message and the last group after it always stay. A note in the system prompt says that messages are missing.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from src.api.ports import ChatMessage, FunctionSpec
from src.api.utils.canonical import canonical

__all__ = ["Count", "fit", "shorten", "tokens_of_message", "tokens_of_tools"]

RESULT_LIMIT = 24_000
SHORTEST_RESULT = 800
MESSAGE_OVERHEAD = 6
CALL_OVERHEAD = 12

_NOTE = (
    "\n\n[The beginning of this conversation no longer fits: {count} earlier messages were left out here. "
    "Look things up again rather than guess what they said.]"
)
_CUT = "\n… {count} characters were cut here …\n"

Count = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class _Group:
    """Messages that are kept or dropped together, and their tokens."""

    messages: tuple[ChatMessage, ...]
    tokens: int


def fit(
    messages: Sequence[ChatMessage],
    *,
    window: int,
    reserve: int,
    count: Count,
    result_limit: int = RESULT_LIMIT,
    summary: ChatMessage | None = None,
) -> list[ChatMessage]:
    """Return the messages to send: at most `window - reserve` tokens by `count`, if the required ones fit.

    Every tool result is first cut in the middle to `result_limit` characters, so that the markers around it stay.
    `summary`, of messages that are not among these, comes first and is never dropped.
    """
    budget = window - reserve
    system = [message for message in messages if message.role == "system"]
    rest = [message for message in messages if message.role != "system"]
    groups = [_measured(group, count) for group in _grouped(_bounded(rest, result_limit))]
    budget -= sum(tokens_of_message(message, count) for message in system)
    first = [] if summary is None else [_shrunk_summary(summary, budget // 2, count)]
    budget -= sum(tokens_of_message(message, count) for message in first)
    kept = _newest(groups, budget, count(_NOTE))
    kept = _shrunk(kept, budget, count, result_limit)
    missing = sum(len(group.messages) for group in groups) - sum(len(group.messages) for group in kept)
    return [*_with_note(system, missing), *first, *(message for group in kept for message in group.messages)]


def tokens_of_tools(tools: Sequence[FunctionSpec], count: Count) -> int:
    """Count the tokens of the tool definitions."""
    return sum(count(tool.name) + count(tool.description) + count(canonical(tool.parameters)) + 8 for tool in tools)


def _grouped(messages: Iterable[ChatMessage]) -> list[tuple[ChatMessage, ...]]:
    """Group each message with calls and its results; every other message is a group by itself."""
    groups: list[list[ChatMessage]] = []
    for message in messages:
        if message.role == "tool" and groups:
            groups[-1].append(message)
        else:
            groups.append([message])
    return [tuple(group) for group in groups]


def _measured(group: tuple[ChatMessage, ...], count: Count) -> _Group:
    return _Group(group, sum(tokens_of_message(message, count) for message in group))


def tokens_of_message(message: ChatMessage, count: Count) -> int:
    """Count the tokens of a message with its calls and what goes back to the provider with it."""
    calls = sum(count(call.name) + count(call.arguments) + CALL_OVERHEAD for call in message.calls)
    states = [call.state for call in message.calls] + [message.state.message if message.state else None]
    state = sum(count(json.dumps(each)) for each in states if each)
    return count(message.content) + calls + state + MESSAGE_OVERHEAD


def _newest(groups: list[_Group], budget: int, note: int) -> list[_Group]:
    """Drop the oldest groups until the rest fits, with room for the note."""
    total = sum(group.tokens for group in groups)
    if total <= budget:
        return groups
    gone: set[int] = set()
    for position in _droppable(groups):
        if total + note <= budget:
            break
        gone.add(position)
        total -= groups[position].tokens
    return [group for position, group in enumerate(groups) if position not in gone]


def _droppable(groups: list[_Group]) -> list[int]:
    """Return the positions that may be dropped, in order: all but the user's latest message and the last group."""
    users = [position for position, group in enumerate(groups) if group.messages[0].role == "user"]
    stays = {len(groups) - 1, users[-1] if users else -1}
    return [position for position in range(len(groups)) if position not in stays]


def _shrunk(groups: list[_Group], budget: int, count: Count, limit: int) -> list[_Group]:
    """Halve the limit of tool results until the required groups fit."""
    while sum(group.tokens for group in groups) > budget and limit > SHORTEST_RESULT:
        limit = max(limit // 2, SHORTEST_RESULT)
        groups = [_measured(tuple(_bounded(group.messages, limit)), count) for group in groups]
    return groups


def _shrunk_summary(summary: ChatMessage, budget: int, count: Count) -> ChatMessage:
    """Cut a summary that was made for a larger window."""
    while tokens_of_message(summary, count) > budget and len(summary.content) > SHORTEST_RESULT:
        limit = max(len(summary.content) // 2, SHORTEST_RESULT)
        summary = replace(summary, content=shorten(summary.content, limit))
    return summary


def _bounded(messages: Iterable[ChatMessage], limit: int) -> list[ChatMessage]:
    return [
        replace(message, content=shorten(message.content, limit)) if message.role == "tool" else message
        for message in messages
    ]


def shorten(text: str, limit: int) -> str:
    """Cut a text in the middle to `limit` characters, with a note that says how many are missing."""
    if len(text) <= limit:
        return text
    room = max(limit - 60, 0)
    head, tail = room * 2 // 3, room - room * 2 // 3
    return text[:head] + _CUT.format(count=len(text) - head - tail) + text[len(text) - tail :]


def _with_note(system: list[ChatMessage], missing: int) -> list[ChatMessage]:
    if not missing:
        return system
    note = _NOTE.format(count=missing)
    if not system:
        return [ChatMessage("system", note.strip())]
    return [*system[:-1], replace(system[-1], content=system[-1].content + note)]
