"""Write events to the journal, in the transaction of the state change that they describe (`protocol.md` 18).

The same transaction writes their audit entries, also for an event that is deferred to the next text boundary.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from src.api.errors import RunFenced
from src.api.ports import Ids, Transaction
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.events import EVENT, FINAL_TYPES, Event, TitleGenerated
from src.api.schemas.query import Assign, Increment, Now, Where
from src.api.schemas.records import Conversation, DeferredEvent, JournalEvent, Run
from src.api.schemas.states import RESTING
from src.api.services.audit.log import audit_event
from src.api.services.streaming.final_events import build_final_event

__all__ = ["Journal", "TextBoundary"]

DEFERRED_BATCH = 100


@dataclass(frozen=True, slots=True)
class TextBoundary:
    """An event that ends a streamed text. Since the last journal number, deltas have carried its content from `start`
    on.
    """

    event: Event
    start: int = 0


@dataclass(slots=True)
class Journal:
    """Write events. The caller's transaction holds the state change that they describe."""

    ids: Ids

    async def lock_as_owner(
        self, tx: Transaction, run_id: str, fence: int, *, reserve: int = 0, **values: Assign
    ) -> Run:
        """Lock the run, check its owner, and reserve numbers for the `reserve` events that `record_locked` writes.

        The same UPDATE sets `values`. Raises `RunFenced` unless the run is `running` under this fence.
        """
        owned: Where = {"id": run_id, "fence": fence, "state": "running"}
        run = await tx.change(Run, owned, journal=Increment(reserve), updated_at=Now(), **values)
        if run is None:
            raise RunFenced("Another worker owns this run now.")
        return run

    async def record_as_owner(
        self, tx: Transaction, run_id: str, fence: int, events: Sequence[Event | TextBoundary]
    ) -> Run:
        """Record events of the run's owner at a text boundary, then the deferred events. Returns the run.

        Raises `RunFenced`.
        """
        run = await self.lock_as_owner(tx, run_id, fence, reserve=len(events))
        return await self.record_locked(tx, run, events, await tx.now(), reserved=len(events))

    async def record_locked(
        self,
        tx: Transaction,
        run: Run,
        events: Sequence[Event | TextBoundary],
        now: int,
        last: Sequence[Event] = (),
        *,
        reserved: int = 0,
        **values: Assign,
    ) -> Run:
        """Record events at a text boundary, then the deferred events, then `last`, with which the run rests or ends.

        The caller's transaction has locked `run` by `lock_as_owner` or an update with the owner's fence, which reserved
        the last `reserved` numbers, and recorded nothing since. If the events need other numbers, or there are
        `values` to set, one UPDATE follows. With `last` it also sets where the run rests.
        """
        n = run.journal - reserved
        if events or last:
            _audit(tx, run.id, [*events, *last], ENGINE)
            n = await self._write_with_deferred(tx, run, n, events, last, now)
            if run.has_deferred:
                values["has_deferred"] = False
        if last and run.rest_seq != n:
            values["rest_seq"] = n
        if n == run.journal and not values:
            return run
        where: Where = {"id": run.id, "fence": run.fence, "journal": run.journal}
        return _require_locked(run, await tx.change(Run, where, journal=n, **values))

    async def record(
        self,
        tx: Transaction,
        run: Run,
        events: Sequence[Event],
        now: int,
        by: Actor = ENGINE,
        **values: Assign,
    ) -> Run:
        """Record events of a run that no owner streams, and set `values` by the same UPDATE.

        The caller's transaction has locked `run` and changes its state by nothing but `values` from then on. If the run
        rests, the last event of its rest follows again, unless `events` ends with it: streams end with it.
        """
        _audit(tx, run.id, events, by)
        where: Where = {"id": run.id, "state": run.state}
        run = _require_locked(
            run, await tx.change(Run, where, journal=Increment(len(events)), updated_at=now, **values)
        )
        await self._write(tx, run.id, run.journal - len(events), events, now)
        if run.state not in RESTING:
            return run
        if not events or events[-1].type not in FINAL_TYPES:
            run = await self._append(tx, run, [await _find_final_event(tx, run)], now)
        return await tx.change(Run, {"id": run.id}, rest_seq=run.journal) or run

    async def record_or_defer(
        self, tx: Transaction, run: Run, events: Sequence[Event], now: int, by: Actor = ENGINE
    ) -> None:
        """Record events that don't come from the run's owner; while the run is running, defer them to its next text
        boundary.

        The caller's transaction must have locked the run's row before it read `run`.
        """
        if run.state != "running":
            await self.record(tx, run, events, now, by)
            return
        _audit(tx, run.id, events, by)
        await tx.insert_all(
            [DeferredEvent(self.ids.new(), run.id, EVENT.dump_json(each).decode(), now) for each in events]
        )
        if not run.has_deferred:
            await tx.change(Run, {"id": run.id}, has_deferred=True)

    def audit_only(self, tx: Transaction, run_id: str, events: Sequence[Event], by: Actor = ENGINE) -> None:
        """Write only the audit entries of events, for a run whose journal has been erased."""
        _audit(tx, run_id, events, by)

    async def _write_with_deferred(
        self,
        tx: Transaction,
        run: Run,
        n: int,
        events: Sequence[Event | TextBoundary],
        last: Sequence[Event],
        now: int,
    ) -> int:
        """Write `events` after number `n`, then the deferred events, then `last`. Returns the last number.

        `has_deferred` says whether there are deferred events. It is exact: whoever defers an event sets it under the
        lock of the run's row, and `run` was read under that lock. Events are looked for without it where the run rests
        or ends, because a process of an earlier version does not set it, and nobody would record them later.
        """
        unwritten = list(events)
        if run.has_deferred or last:
            async for deferred in _take_deferred(tx, run):
                n = await self._write(tx, run.id, n, [*unwritten, *deferred], now)
                unwritten = []
        return await self._write(tx, run.id, n, [*unwritten, *last], now)

    async def _append(self, tx: Transaction, run: Run, events: Sequence[Event], now: int) -> Run:
        """Append events to a run that this transaction has locked."""
        await self._write(tx, run.id, run.journal, events, now)
        return await tx.change(Run, {"id": run.id}, journal=Increment(len(events))) or run

    async def _write(
        self, tx: Transaction, run_id: str, last: int, events: Sequence[Event | TextBoundary], now: int
    ) -> int:
        """Write events after number `last`. Returns the number of the last event."""
        rows = [_build_row(run_id, n, each, now) for n, each in enumerate(events, last + 1)]
        if not await tx.insert_all(rows):
            raise RuntimeError(f"run {run_id} has an event with a number that was free in this transaction")
        return last + len(rows)


def _require_locked(run: Run, changed: Run | None) -> Run:
    if changed is None:
        raise RuntimeError(f"run {run.id} changed although this transaction holds its lock")
    return changed


def _build_row(run_id: str, n: int, each: Event | TextBoundary, now: int) -> JournalEvent:
    event, start = (each.event, each.start) if isinstance(each, TextBoundary) else (each, None)
    return JournalEvent(run_id, n, event.type, EVENT.dump_json(event, exclude_none=True).decode(), start, now)


async def _find_final_event(tx: Transaction, run: Run) -> Event:
    """Return the last event of a run that rests: the recorded one if the run has ended."""
    if run.state != "awaiting_approval":
        recorded = await tx.find(JournalEvent, {"run_id": run.id, "type": FINAL_TYPES}, "-n", 1)
        if recorded:
            return EVENT.validate_json(recorded[0].body)
    return build_final_event(run.state, error=run.error, code=run.error_code)


async def _take_deferred(tx: Transaction, run: Run) -> AsyncIterator[list[Event]]:
    """Remove the run's deferred events batch by batch, and yield those of each batch that are to be recorded."""
    while True:
        waiting = await tx.find(DeferredEvent, {"run_id": run.id}, "id", DEFERRED_BATCH)
        if waiting:
            await tx.remove(DeferredEvent, {"id": tuple(each.id for each in waiting)})
            events = [EVENT.validate_json(each.body) for each in waiting]
            yield [event for event in events if await _is_current(tx, run, event)]
        if len(waiting) < DEFERRED_BATCH:
            return


async def _is_current(tx: Transaction, run: Run, event: Event) -> bool:
    """Return False for a title that was replaced while its event was deferred: clients would show the old title."""
    if not isinstance(event, TitleGenerated):
        return True
    conversation = await tx.get(Conversation, id=run.conversation_id)
    return conversation is not None and conversation.title == event.title


def _audit(tx: Transaction, run_id: str, events: Sequence[Event | TextBoundary], by: Actor) -> None:
    for each in events:
        audit_event(tx, run_id, each.event if isinstance(each, TextBoundary) else each, by)
