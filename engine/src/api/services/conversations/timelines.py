"""Read a conversation's timeline: the newest part, a page of it, or all of it for an export."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from src.api.errors import NotFound
from src.api.ports import Reader, Store
from src.api.schemas.base import Verbatim
from src.api.schemas.query import Where
from src.api.schemas.records import Approval, Call, Conversation, ConversationSummary, Message, Run
from src.api.schemas.runs import ApprovalView
from src.api.schemas.states import NOT_ENDED
from src.api.schemas.timeline import ActiveRun, ConversationDetail, Entry
from src.api.services.access import Caller, get_visible_conversation
from src.api.services.conversations.timeline import build_entries
from src.api.services.pagination import Cursor, keyset_range

__all__ = ["DescribeApprovals", "Timelines", "active_view", "activity_order"]

MAX_ROWS = 1_000
MAX_SUMMARIES = 200
MAX_CHARACTERS = 8_000_000
"""Of messages, and as many of calls with their approvals, in one timeline."""

ROWS_PER_READ = 500
"""Rows per query of a timeline; rows may be large."""

DEFAULT_PAGE = 100
MAX_RUN_BATCHES = 50
"""Batches of runs that one page looks at; runs whose messages were all replaced have no entries."""

DescribeApprovals = Callable[[Reader, Sequence[Approval], Mapping[str, Call]], Awaitable[Mapping[str, ApprovalView]]]
"""Builds the views of approvals for one caller, by id. The calls are those that were read already."""


class ApprovalDescriber(Protocol):
    """Implemented by `approvals.queries.ApprovalQueries`."""

    async def describer(self, caller: Caller) -> DescribeApprovals: ...


@dataclass(slots=True)
class _Rows:
    """The newest rows of a timeline, newest first, and whether older ones were left out."""

    messages: list[Message] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    approvals: list[Approval] = field(default_factory=list)
    is_truncated: bool = False


@dataclass(slots=True)
class Timelines:
    """Read timelines. Conversations of other users look as if they did not exist."""

    store: Store
    approvals: ApprovalDescriber

    async def get(
        self, caller: Caller, conversation_id: str, before: str | None = None, limit: int | None = None
    ) -> ConversationDetail:
        """Return a conversation with its timeline, cut to the newest entries if it exceeds one response.

        `limit` asks for that many entries at most, `before` for those that come before this one. Raises `NotFound`,
        also for an entry that the conversation does not have.
        """
        describe = await self.approvals.describer(caller)

        async def body(reader: Reader) -> ConversationDetail:
            found = await get_visible_conversation(reader, caller, conversation_id)
            open_runs = await reader.find(Run, {"conversation_id": found.id, "state": NOT_ENDED}, "created_at,id")
            if before is None and limit is None:
                entries, is_truncated = await _read_all(reader, found.id, describe)
            else:
                entries, is_truncated = await _read_page(reader, found.id, describe, before, limit or DEFAULT_PAGE)
            return _detail(found, entries, open_runs, truncated=is_truncated)

        return await self.store.read(body)

    async def open_export(
        self, caller: Caller, conversation_id: str
    ) -> tuple[ConversationDetail, AsyncIterator[Sequence[Entry]]]:
        """Return the conversation without messages, and an iterator over all entries, read run by run."""
        describe = await self.approvals.describer(caller)

        async def body(reader: Reader) -> ConversationDetail:
            found = await get_visible_conversation(reader, caller, conversation_id)
            runs = await reader.find(Run, {"conversation_id": found.id, "state": NOT_ENDED}, "created_at,id")
            return _detail(found, [], runs, truncated=False)

        return await self.store.read(body), self._iterate_runs(conversation_id, describe)

    async def _iterate_runs(self, conversation_id: str, describe: DescribeApprovals) -> AsyncIterator[Sequence[Entry]]:
        skipped = 0
        while batch := await self.store.read(partial(_read_runs, conversation_id, skipped)):
            for run in batch:
                yield await self.store.read(partial(_read_run_entries, run, describe))
            skipped += len(batch)


async def _read_all(reader: Reader, conversation_id: str, describe: DescribeApprovals) -> tuple[list[Entry], bool]:
    here: Where = {"conversation_id": conversation_id}
    rows = await _read_rows(reader, here)
    runs = await reader.find(Run, here, "-created_at,-id", MAX_ROWS)
    return await _build(reader, rows, runs, describe), rows.is_truncated


async def _read_page(
    reader: Reader, conversation_id: str, describe: DescribeApprovals, before: str | None, limit: int
) -> tuple[list[Entry], bool]:
    """Return the newest entries before an entry, and whether older ones exist.

    Entries are read run by run, since a message that waits comes before the answer to an earlier one.
    """
    entries: list[Entry] = []
    position: Cursor | None = None
    if before is not None:
        anchor = await _find_run(reader, conversation_id, before)
        of_run, _ = await _read_runs_entries(reader, [anchor], describe)
        ids = [entry.id for entry in of_run]
        if before not in ids:
            raise NotFound("There is no such message in this conversation.")
        entries, position = of_run[: ids.index(before)], Cursor(anchor.created_at, anchor.id)
    for _ in range(MAX_RUN_BATCHES):
        where: Where = {"conversation_id": conversation_id, "created_at": keyset_range(position)}
        runs = await reader.find(Run, where, "-created_at,-id", limit)
        if not runs or len(entries) > limit:
            break
        older, is_cut = await _read_runs_entries(reader, runs, describe)
        entries = older + entries
        if is_cut:
            return entries[-limit:], True
        position = Cursor(runs[-1].created_at, runs[-1].id)
    else:
        return entries[-limit:], True
    return entries[-limit:], len(entries) > limit


async def _find_run(reader: Reader, conversation_id: str, entry_id: str) -> Run:
    """Return the run of a timeline entry, whose id is that of a message, or of a run that failed without one."""
    run_id, failed, _ = entry_id.partition(":error")
    message = None if failed else await reader.get(Message, id=entry_id)
    run = await reader.get(Run, id=message.run_id if message is not None else run_id)
    if run is None or run.conversation_id != conversation_id:
        raise NotFound("There is no such message in this conversation.")
    return run


async def _read_runs_entries(
    reader: Reader, runs: Sequence[Run], describe: DescribeApprovals
) -> tuple[list[Entry], bool]:
    """Return the entries of some runs, oldest first, and whether the oldest were left out because of their size."""
    rows = await _read_rows(reader, {"run_id": tuple(run.id for run in runs)})
    return await _build(reader, rows, runs, describe), rows.is_truncated


async def _build(reader: Reader, rows: _Rows, runs: Sequence[Run], describe: DescribeApprovals) -> list[Entry]:
    views = await describe(reader, rows.approvals, {call.id: call for call in rows.calls}) if rows.approvals else {}
    summaries = await _find_summaries(reader, {message.run_id for message in rows.messages})
    return build_entries(rows.messages[::-1], rows.calls, runs, views, summaries)


async def _find_summaries(reader: Reader, run_ids: Iterable[str]) -> list[ConversationSummary]:
    of = tuple(run_ids)
    return await reader.find(ConversationSummary, {"run_id": of}, "-version", MAX_SUMMARIES) if of else []


async def _read_rows(reader: Reader, where: Where) -> _Rows:
    rows = _Rows()
    room, after = MAX_CHARACTERS, None
    while True:
        batch = await reader.find(
            Message, {**where, "hidden": False, "created_at": keyset_range(after)}, "-created_at,-id", ROWS_PER_READ
        )
        for message in batch:
            room -= len(message.content) + len(message.thinking)
            if room < 0 or len(rows.messages) == MAX_ROWS:
                rows.is_truncated = True
                break
            rows.messages.append(message)
        if rows.is_truncated or len(batch) < ROWS_PER_READ:
            await _read_calls(reader, where, rows)
            return rows
        after = Cursor(batch[-1].created_at, batch[-1].id)


async def _read_calls(reader: Reader, where: Where, rows: _Rows) -> None:
    """Read as many calls, with their approvals, as one timeline holds, in steps because row sizes are unknown."""
    room, after = MAX_CHARACTERS, None
    while True:
        batch = await reader.find(Call, {**where, "created_at": keyset_range(after)}, "-created_at,-id", ROWS_PER_READ)
        approvals = await _find_approvals(reader, batch)
        for call in batch:
            approval = approvals.get(call.id)
            room -= len(call.redacted_args) + len(call.result) + (len(approval.preview or "") if approval else 0)
            if room < 0 or len(rows.calls) == MAX_ROWS:
                rows.is_truncated = True
                return
            rows.calls.append(call)
            rows.approvals += [] if approval is None else [approval]
        if len(batch) < ROWS_PER_READ:
            return
        after = Cursor(batch[-1].created_at, batch[-1].id)


async def _find_approvals(reader: Reader, calls: Sequence[Call]) -> dict[str, Approval]:
    changes = tuple(call.id for call in calls if call.kind == "change")
    return {each.id: each for each in await reader.find(Approval, {"id": changes})} if changes else {}


async def _read_runs(conversation_id: str, skipped: int, reader: Reader) -> list[Run]:
    """Read the next runs, oldest first. Runs are never deleted and new ones come last, so an offset is stable."""
    return await reader.find(Run, {"conversation_id": conversation_id}, "created_at,id", MAX_ROWS, skipped)


async def _read_run_entries(run: Run, describe: DescribeApprovals, reader: Reader) -> list[Entry]:
    messages = await reader.find(Message, {"run_id": run.id, "hidden": False}, "created_at,id", MAX_ROWS)
    calls = await reader.find(Call, {"run_id": run.id}, "created_at,id", MAX_ROWS)
    approvals = list((await _find_approvals(reader, calls)).values())
    views = await describe(reader, approvals, {call.id: call for call in calls}) if approvals else {}
    return build_entries(messages, calls, [run], views, await _find_summaries(reader, [run.id]))


def activity_order(run: Run) -> tuple[bool, int]:
    """Sort key that puts the active run before the runs that wait behind it."""
    return run.state == "waiting", run.created_at


def active_view(run: Run | None) -> ActiveRun | None:
    if run is None:
        return None
    return ActiveRun(id=run.id, run_id=run.id, state=run.state, created_at=run.created_at)


def _detail(
    conversation: Conversation, entries: list[Entry], open_runs: Sequence[Run], *, truncated: bool
) -> ConversationDetail:
    return ConversationDetail(
        id=conversation.id,
        title=conversation.title or "",
        is_active=conversation.is_active,
        created_at=conversation.created_at,
        conversation_metadata=Verbatim(conversation.metadata),
        messages=entries,
        active_run=active_view(min(open_runs, key=activity_order, default=None)),
        truncated=truncated,
    )
