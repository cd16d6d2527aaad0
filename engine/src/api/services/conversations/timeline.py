"""Build timeline entries from rows of messages and calls."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, cast

import orjson
from pydantic import TypeAdapter

from src.api.schemas.approvals import Effect
from src.api.schemas.base import Verbatim
from src.api.schemas.records import Call, ConversationSummary, Message, Run
from src.api.schemas.runs import ApprovalView
from src.api.schemas.timeline import (
    AssistantEntry,
    Entry,
    Segment,
    SummaryNote,
    TextSegment,
    ThinkingSegment,
    TokenTotals,
    ToolExecution,
    ToolSegment,
    ToolStatus,
    UserEntry,
)

__all__ = ["build_entries"]

_TOTALS: Final = TypeAdapter(TokenTotals)


def build_entries(
    messages: Sequence[Message],
    calls: Iterable[Call],
    runs: Iterable[Run],
    approvals: Mapping[str, ApprovalView],
    summaries: Iterable[ConversationSummary] = (),
) -> list[Entry]:
    """Return the entries run by run, oldest first: the user's messages, then one entry for the answer.

    `messages` are in conversation order and without hidden ones. `approvals` are those of the calls, by id.
    """
    by_run: defaultdict[str, list[Message]] = defaultdict(list)
    for message in messages:
        by_run[message.run_id].append(message)
    by_turn: defaultdict[tuple[str, int], list[ToolSegment]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: (call.turn, call.position, call.version)):
        execution = _tool_execution(call, approvals.get(call.id))
        segment = ToolSegment(id=call.id, toolExecution=execution, timestamp=call.created_at)
        by_turn[call.run_id, call.turn].append(segment)
    known = {run.id: run for run in runs}
    entries = [
        entry for run_id, messages in by_run.items() for entry in _run_entries(messages, by_turn, known.get(run_id))
    ]
    return _with_summaries(entries, summaries)


def _with_summaries(entries: list[Entry], summaries: Iterable[ConversationSummary]) -> list[Entry]:
    """Add to each answer the summaries that were made during it."""
    of_run: defaultdict[str, list[ConversationSummary]] = defaultdict(list)
    for summary in sorted(summaries, key=lambda each: each.version):
        of_run[summary.run_id].append(summary)
    return [
        (
            replace(entry, summaries=[_summary_note(each, entry.segments) for each in of_run[entry.run_id]])
            if isinstance(entry, AssistantEntry) and entry.run_id in of_run
            else entry
        )
        for entry in entries
    ]


def _summary_note(summary: ConversationSummary, segments: Sequence[Segment]) -> SummaryNote:
    return SummaryNote(
        id=summary.id,
        version=summary.version,
        text=summary.content,
        messages=summary.messages,
        model=summary.model,
        timestamp=summary.created_at,
        before=next((each.id for each in segments if each.timestamp >= summary.created_at), None),
    )


def _run_entries(
    messages: list[Message], calls: dict[tuple[str, int], list[ToolSegment]], run: Run | None
) -> Iterator[Entry]:
    yield from (_user_entry(message) for message in messages if message.role == "user")
    turns = sorted((message for message in messages if message.role == "assistant"), key=lambda message: message.turn)
    if turns or (run is not None and run.error):
        yield _assistant_entry(messages[0], turns, calls, run)


def _user_entry(message: Message) -> UserEntry:
    return UserEntry(
        id=message.id,
        content=message.content,
        timestamp=message.created_at,
        replaces=message.replaces or None,
    )


def _assistant_entry(
    first: Message, turns: list[Message], calls: dict[tuple[str, int], list[ToolSegment]], run: Run | None
) -> AssistantEntry:
    return AssistantEntry(
        id=turns[0].id if turns else f"{first.run_id}:error",
        run_id=first.run_id,
        content="\n\n".join(turn.content for turn in turns if turn.content),
        timestamp=turns[0].created_at if turns else first.created_at,
        segments=[
            segment for turn in turns for segment in _turn_segments(turn, calls.get((turn.run_id, turn.turn), []))
        ],
        token_usage=_token_totals(run),
        error=run.error if run else None,
    )


def _token_totals(run: Run | None) -> TokenTotals:
    """Return the run's token usage and the time until its answer was complete."""
    if run is None:
        return TokenTotals()
    used = orjson.loads(run.usage)
    waited = None if run.ended_at is None else run.ended_at - run.created_at
    return _TOTALS.validate_python({**used, "ttr_ms": waited})


def _turn_segments(turn: Message, calls: list[ToolSegment]) -> Iterator[Segment]:
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
    yield from calls


def _tool_execution(call: Call, approval: ApprovalView | None) -> ToolExecution:
    return ToolExecution(
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=Verbatim(call.redacted_args or "{}"),
        status=cast(ToolStatus, call.status),
        result=Verbatim(call.result) if call.ended_at else None,
        error=call.error,
        requires_approval=call.needs_approval,
        supersedes=call.supersedes,
        timestamp=call.created_at,
        started_at=call.started_at,
        ended_at=call.ended_at,
        approval=None if approval is None else Verbatim(approval.model_dump_json()),
        effect=_effect_of(call, approval),
    )


def _effect_of(call: Call, approval: ApprovalView | None) -> Effect | None:
    """Return what a change did outside; a settled change that was never put before a person did nothing."""
    if call.kind != "change":
        return None
    if approval is not None:
        return approval.effect
    return None if call.ended_at is None else "none"
