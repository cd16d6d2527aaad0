"""The timeline of a conversation: rows of messages and calls as the entries that a person reads."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, cast

import orjson
from pydantic import TypeAdapter

from src.api.schemas.base import Verbatim
from src.api.schemas.records import Call, Message, Run
from src.api.schemas.timeline import (
    AssistantEntry,
    Entry,
    Segment,
    TextSegment,
    ThinkingSegment,
    TokenTotals,
    ToolExecution,
    ToolSegment,
    ToolStatus,
    UserEntry,
)

__all__ = ["entries"]

_USED: Final = TypeAdapter(TokenTotals)


def entries(messages: Sequence[Message], calls: Iterable[Call], runs: Iterable[Run]) -> list[Entry]:
    """What a person said and then one entry for what the run answered, run by run in the order in which they began.

    `messages` are in the order of the conversation. What is hidden is left out by whoever reads the rows.
    """
    by_run: defaultdict[str, list[Message]] = defaultdict(list)
    for message in messages:
        by_run[message.run_id].append(message)
    by_turn: defaultdict[tuple[str, int], list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: (call.turn, call.position, call.version)):
        by_turn[call.run_id, call.turn].append(call)
    known = {run.id: run for run in runs}
    return [entry for run_id, said in by_run.items() for entry in _run(said, by_turn, known.get(run_id))]


def _run(said: list[Message], calls: dict[tuple[str, int], list[Call]], run: Run | None) -> Iterator[Entry]:
    yield from (_user(message) for message in said if message.role == "user")
    turns = sorted((message for message in said if message.role == "assistant"), key=lambda message: message.turn)
    if turns or (run is not None and run.error):
        yield _assistant(said[0], turns, calls, run)


def _user(message: Message) -> UserEntry:
    return UserEntry(
        id=message.id, content=message.content, timestamp=message.created_at, replaces=message.replaces or None
    )


def _assistant(
    first: Message, turns: list[Message], calls: dict[tuple[str, int], list[Call]], run: Run | None
) -> AssistantEntry:
    return AssistantEntry(
        id=turns[0].id if turns else f"{first.run_id}:error",
        run_id=first.run_id,
        content="\n\n".join(turn.content for turn in turns if turn.content),
        timestamp=turns[0].created_at if turns else first.created_at,
        segments=[segment for turn in turns for segment in _turn(turn, calls.get((turn.run_id, turn.turn), []))],
        token_usage=_totals(run),
        error=run.error if run else None,
    )


def _totals(run: Run | None) -> TokenTotals:
    """What the run used, and how long its person waited for the end of the answer."""
    if run is None:
        return TokenTotals()
    used = orjson.loads(run.usage)
    waited = None if run.ended_at is None else run.ended_at - run.created_at
    return _USED.validate_python({**used, "ttr_ms": waited})


def _turn(turn: Message, calls: list[Call]) -> Iterator[Segment]:
    if turn.thinking:
        yield ThinkingSegment(
            id=f"{turn.id}:thinking",
            text=turn.thinking,
            isComplete=True,
            durationMs=turn.thinking_ms,
            timestamp=turn.created_at,
        )
    if turn.content:
        yield TextSegment(
            id=turn.id, text=turn.content, timestamp=turn.created_at, finish_reason=turn.finish_reason or None
        )
    for call in calls:
        yield ToolSegment(id=call.id, toolExecution=_execution(call), timestamp=call.created_at)


def _execution(call: Call) -> ToolExecution:
    return ToolExecution(
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=Verbatim(call.shown or "{}"),
        status=cast(ToolStatus, call.status),
        result=Verbatim(call.result) if call.ended_at else None,
        error=call.error,
        requires_approval=call.asks,
        supersedes=call.supersedes,
        timestamp=call.created_at,
    )
