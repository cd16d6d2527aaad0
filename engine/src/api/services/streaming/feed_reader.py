"""Find out what changed since the last read, for the live feed.

Every change that the feed reports writes an audit entry in its own transaction, or changes its run's row. Both have an
index on time, so each read looks at a short window before the newest row that it knows. A transaction that commits late
carries an earlier time; a longer window, read now and then, finds it. What was seen is not reported again.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar, cast

from src.api.ports import Clock, Reader, Store
from src.api.schemas.approvals import ApprovalStatus, Outcome, parse_risk
from src.api.schemas.base import JsonObject
from src.api.schemas.feed import (
    ApprovalChanged,
    ApprovalEventType,
    ConversationChanged,
    FeedMessage,
    RunState,
    RunStateChanged,
)
from src.api.schemas.query import Condition, ge
from src.api.schemas.records import Approval, AuditEntry, Conversation, Execution, Record, Run
from src.api.schemas.states import ENDED, NOT_ENDED
from src.api.services.access import Caller, may_see
from src.api.utils.json_columns import load_object

__all__ = ["FeedItem", "FeedReader"]

R = TypeVar("R", bound=Record)

NEAR_MS = 2_000
FAR_MS = 30_000
"""How late a transaction may commit after it has read the time: its statements may take 10 s each."""

FAR_SECONDS = 5.0
"""Seconds between two reads of the long window."""

PAGE = 1_000
MAX_PAGES = 20
MAX_NEW = 500
"""Changes that one read reports; for more there is a new snapshot."""

MAX_KNOWN = 10_000

_APPROVAL_ACTIONS: Final[Mapping[str, ApprovalEventType]] = {
    "tool.awaiting_approval": "approval.requested",
    "tool.vote": "approval.voted",
    "tool.approved": "approval.decided",
    "tool.denied": "approval.decided",
    "tool.superseded": "approval.decided",
    "tool.expired": "approval.expired",
    "tool.stale": "approval.stale",
    "tool.result": "approval.settled",
    "tool.error": "approval.settled",
    "tool.unknown": "approval.settled",
    "tool.verified": "approval.settled",
}
_STATUSES: Final[Mapping[str, ApprovalStatus]] = {
    "tool.awaiting_approval": "pending",
    "tool.vote": "pending",
    "tool.approved": "approved",
    "tool.denied": "denied",
    "tool.superseded": "superseded",
    "tool.expired": "expired",
}
"""The status to which these lead. By the time of the read, the approval may have another one."""

_RESTS: Final = ("run.awaiting_approval", "run.completed", "run.failed", "run.stopped")
_CONVERSATION_ACTIONS: Final = ("conversation.made", "conversation.changed", "conversation.deleted")
_ACTIONS: Final = (*_APPROVAL_ACTIONS, *_RESTS, *_CONVERSATION_ACTIONS, "message.submitted")
_STATES: Final = (*NOT_ENDED, *ENDED)
_AT_WORK: Final = ("queued", "running")


@dataclass(frozen=True, slots=True)
class FeedItem:
    """A message, and the conversation that decides who may see it."""

    message: FeedMessage
    conversation: Conversation
    had_approval: bool

    def is_visible_to(self, caller: Caller) -> bool:
        return may_see(caller, self.conversation, had_approval=self.had_approval)


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that the new entries and runs are about."""

    runs: Mapping[str, Run]
    approvals: Mapping[str, Approval]
    outcomes: Mapping[str, str]
    conversations: Mapping[str, Conversation]
    with_approvals: frozenset[str]


@dataclass(slots=True)
class FeedReader:
    """Read changes from the database; `start` first."""

    store: Store
    clock: Clock
    _seen: dict[tuple[str, int], int] = field(init=False, default_factory=dict)
    _states: dict[str, tuple[str, int]] = field(init=False, default_factory=dict)
    _titles: dict[str, str | None] = field(init=False, default_factory=dict)
    _newest_entry: int = field(init=False, default=0)
    _newest_run: int = field(init=False, default=0)
    _next_far: float = field(init=False, default=0.0)

    async def start(self) -> None:
        """Take everything up to now as known. Raises `StoreUnavailable`."""

        async def body(reader: Reader) -> None:
            entries = await reader.find(AuditEntry, {}, "-created_at,-stream,-n", 1)
            runs = await reader.find(Run, {"state": _STATES}, "-updated_at", 1)
            self._newest_entry = entries[0].created_at if entries else 0
            self._newest_run = runs[0].updated_at if runs else 0
            self._remember(await self._find_entries(reader, FAR_MS) or [])
            self._remember_runs(await reader.find(Run, {"state": _AT_WORK}, "-updated_at", PAGE))
            self._remember_runs(await self._find_runs(reader, FAR_MS) or [])

        await self.store.read(body)
        self._next_far = self.clock.monotonic() + FAR_SECONDS

    async def read(self) -> list[FeedItem] | None:
        """Return what changed since the last read, in order; None if it is too much. Raises `StoreUnavailable`."""
        far = self.clock.monotonic() >= self._next_far
        items = await self.store.read(self._read_far if far else self._read_near)
        if items is None:
            await self.start()
        elif far:
            self._next_far = self.clock.monotonic() + FAR_SECONDS
            self._forget()
        return items

    async def _read_near(self, reader: Reader) -> list[FeedItem] | None:
        return await self._read(reader, NEAR_MS)

    async def _read_far(self, reader: Reader) -> list[FeedItem] | None:
        return await self._read(reader, FAR_MS)

    async def _read(self, reader: Reader, window: int) -> list[FeedItem] | None:
        # In this order: what is seen of a run's row has its entries, also where each read has its own snapshot.
        runs = await self._find_runs(reader, window)
        entries = await self._find_entries(reader, window)
        if entries is None or runs is None or len(entries) + len(runs) > MAX_NEW:
            return None
        if not entries and not runs:
            return []
        rows = await _read_rows(reader, entries, runs)
        now = self.clock.now()
        items = [item for entry in entries for item in self._describe_entry(entry, rows, now)]
        items += [item for run in runs for item in self._describe_run(run, rows, now)]
        self._remember(entries)
        self._remember_runs(runs)
        return items

    async def _find_entries(self, reader: Reader, window: int) -> list[AuditEntry] | None:
        where: dict[str, Condition] = {"action": _ACTIONS}
        key: Callable[[AuditEntry], Hashable] = _entry_key
        found = await _read_window(
            reader, AuditEntry, where, ("created_at", "created_at,stream,n"), self._newest_entry - window, key
        )
        return None if found is None else [each for each in found if _entry_key(each) not in self._seen]

    async def _find_runs(self, reader: Reader, window: int) -> list[Run] | None:
        where: dict[str, Condition] = {"state": _STATES}
        found = await _read_window(
            reader, Run, where, ("updated_at", "updated_at,id"), self._newest_run - window, lambda run: run.id
        )
        return None if found is None else [each for each in found if self._states.get(each.id) != _run_version(each)]

    def _remember(self, entries: Sequence[AuditEntry]) -> None:
        self._seen |= {_entry_key(each): each.created_at for each in entries}
        self._newest_entry = max([self._newest_entry, *(each.created_at for each in entries)])

    def _remember_runs(self, runs: Sequence[Run]) -> None:
        self._states |= {each.id: _run_version(each) for each in runs}
        self._newest_run = max([self._newest_run, *(each.updated_at for each in runs)])

    def _forget(self) -> None:
        """Drop what the long window no longer reaches, and the oldest of what has no time."""
        self._seen = {key: at for key, at in self._seen.items() if at >= self._newest_entry - FAR_MS}
        for known in (self._states, self._titles):
            for key in list(known)[: max(0, len(known) - MAX_KNOWN)]:
                known.pop(key)

    def _describe_entry(self, entry: AuditEntry, rows: _Rows, now: int) -> Iterable[FeedItem]:
        body = load_object(entry.body)
        run = rows.runs.get(entry.stream.removeprefix("run:"))
        conversation = rows.conversations.get(str(body.get("conversation_id") or (run.conversation_id if run else "")))
        if conversation is None:
            return []
        messages = self._messages(entry.action, body, run, conversation, rows, now)
        had_approval = conversation.id in rows.with_approvals
        return [FeedItem(each, conversation, had_approval) for each in messages]

    def _messages(
        self, action: str, body: JsonObject, run: Run | None, conversation: Conversation, rows: _Rows, now: int
    ) -> list[FeedMessage]:
        if action in _CONVERSATION_ACTIONS:
            removed = action == "conversation.deleted"
            return [self._conversation_changed(conversation, now, removed=removed)]
        if run is None:
            return []
        if action == "message.submitted":
            state = run.state if run.state in NOT_ENDED else "running"
            self._states[run.id] = _run_version(run)
            return [self._conversation_changed(conversation, now), _run_message("run.started", run, state, now)]
        if action in _RESTS:
            return [_run_message("run.rested", run, action.removeprefix("run."), now)]
        approval = rows.approvals.get(str(body.get("call_id")))
        return [] if approval is None else [_approval_message(action, approval, rows.outcomes.get(approval.id), now)]

    def _describe_run(self, run: Run, rows: _Rows, now: int) -> Iterable[FeedItem]:
        """Report a run that goes on, and a title that was written without an audit entry."""
        conversation = rows.conversations.get(run.conversation_id)
        if conversation is None:
            return []
        messages: list[FeedMessage] = []
        before = self._states.get(run.id)
        if run.state in _AT_WORK and (before is None or before[0] not in _AT_WORK):
            messages.append(_run_message("run.started", run, run.state, now))
        known = conversation.id in self._titles
        if known and self._titles[conversation.id] != conversation.title and conversation.deleted_at is None:
            messages.append(self._conversation_changed(conversation, now))
        self._titles[conversation.id] = conversation.title
        had_approval = conversation.id in rows.with_approvals
        return [FeedItem(each, conversation, had_approval) for each in messages]

    def _conversation_changed(self, conversation: Conversation, now: int, *, removed: bool = False) -> FeedMessage:
        self._titles[conversation.id] = conversation.title
        return ConversationChanged(
            type="conversation.removed" if removed else "conversation.changed",
            conversation_id=conversation.id,
            timestamp=now,
        )


def _entry_key(entry: AuditEntry) -> tuple[str, int]:
    return entry.stream, entry.n


def _run_version(run: Run) -> tuple[str, int]:
    return run.state, run.updated_at


def _run_message(kind: str, run: Run, state: str, now: int) -> FeedMessage:
    started = kind == "run.started"
    return RunStateChanged(
        type="run.started" if started else "run.rested",
        run_id=run.id,
        conversation_id=run.conversation_id,
        state=cast(RunState, state),
        timestamp=now,
    )


def _approval_message(action: str, approval: Approval, outcome: str | None, now: int) -> FeedMessage:
    kind = _APPROVAL_ACTIONS[action]
    if kind == "approval.settled" and approval.status == "stopped":
        kind = "approval.decided"
    return ApprovalChanged(
        type=kind,
        call_id=approval.id,
        run_id=approval.run_id,
        conversation_id=approval.conversation_id,
        status=_STATUSES.get(action, cast(ApprovalStatus, approval.status)),
        outcome=cast(Outcome | None, outcome),
        risk=parse_risk(approval.risk),
        expires_at=approval.approve_by,
        timestamp=now,
    )


async def _read_window(
    reader: Reader,
    kind: type[R],
    where: Mapping[str, Condition],
    by: tuple[str, str],
    since: int,
    key: Callable[[R], Hashable],
) -> list[R] | None:
    """Return the rows from `since` on, oldest first; None if there are too many. `by` is the time and the order."""
    column, order = by
    found: dict[Hashable, R] = {}
    for _ in range(MAX_PAGES):
        page = await reader.find(kind, {**where, column: ge(since)}, order, PAGE)
        found |= {key(each): each for each in page}
        if len(page) < PAGE:
            return list(found.values())
        last = int(getattr(page[-1], column))
        if last == since:
            return None
        since = last
    return None


async def _read_rows(reader: Reader, entries: Sequence[AuditEntry], runs: Sequence[Run]) -> _Rows:
    bodies = [load_object(each.body) for each in entries]
    known = {run.id: run for run in runs}
    missing = {each.stream.removeprefix("run:") for each in entries if each.stream.startswith("run:")} - known.keys()
    known |= {run.id: run for run in await reader.find(Run, {"id": tuple(missing)})} if missing else {}
    calls = tuple({str(body["call_id"]) for body in bodies if "call_id" in body})
    approvals = {each.id: each for each in await reader.find(Approval, {"id": calls})} if calls else {}
    executions = await reader.find(Execution, {"id": tuple(approvals)}) if approvals else []
    named = {str(body["conversation_id"]) for body in bodies if "conversation_id" in body}
    ids = tuple(named | {run.conversation_id for run in known.values()})
    conversations = {each.id: each for each in await reader.find(Conversation, {"id": ids})} if ids else {}
    with_approvals = await reader.distinct(Approval, "conversation_id", {"conversation_id": ids}) if ids else []
    outcomes = {each.id: each.state for each in executions}
    return _Rows(known, approvals, outcomes, conversations, frozenset(with_approvals))
