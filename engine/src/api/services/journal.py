"""Events get their numbers inside the transaction of the state change that they tell of (`protocol.md` 18).

What the audit trail keeps of them it keeps by the same transaction, also of one that waits for a border.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.errors import NotFound, RunFenced
from src.api.ports import Ids, Transaction
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.events import EVENT, Event, TitleGenerated
from src.api.schemas.query import Plus
from src.api.schemas.records import Conversation, DeferredEvent, JournalEvent, Run
from src.api.schemas.states import RESTING
from src.api.services.trail import audit_event

__all__ = ["EndOfText", "Journal"]

MAX_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class EndOfText:
    """An event whose content ends a text that deltas have carried since the last number, from `start` on."""

    event: Event
    start: int = 0


class Journal:
    """Writes events and nothing else; the caller's transaction holds the state change."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids

    async def record_as_owner(
        self,
        tx: Transaction,
        run_id: str,
        fence: int,
        events: Sequence[Event | EndOfText],
        now: int,
        last: Sequence[Event] = (),
    ) -> Run:
        """Records at a border of the owner's text, deferred events after its own. The run as it is then.

        `last` come after all else: those with which the run rests or ends. Without events it only locks the run and
        makes sure that it is owned, at a border or not. Raises `RunFenced` unless it is `running` under this fence.
        """
        run = await tx.change(
            Run, {"id": run_id, "fence": fence, "state": "running"}, journal=Plus(len(events)), touched_at=now
        )
        if run is None:
            raise RunFenced("Another worker owns this run by now.")
        if not events and not last:
            return run
        _audit(tx, run_id, [*events, *last], ENGINE)
        await self._write(tx, run.id, run.journal - len(events), events, now)
        run = await self._flush(tx, run, now)
        return await self._add(tx, run, last, now) if last else run

    async def record(self, tx: Transaction, run_id: str, events: Sequence[Event], now: int, by: Actor = ENGINE) -> Run:
        """Records for whoever changes a run that nobody streams; a resting run then rests at the last of them."""
        _audit(tx, run_id, events, by)
        run = await tx.change(Run, {"id": run_id}, journal=Plus(len(events)), touched_at=now)
        if run is None:
            raise NotFound("There is no such run.")
        await self._write(tx, run_id, run.journal - len(events), events, now)
        return await self.settle_rest(tx, run)

    async def record_or_defer(
        self, tx: Transaction, run: Run, events: Sequence[Event], now: int, by: Actor = ENGINE
    ) -> None:
        """For what comes from aside: while the run's owner works, the events wait for its next border.

        The run's row must be locked by this transaction, and `run` read since.
        """
        if run.state != "running":
            await self.record(tx, run.id, events, now, by)
            return
        _audit(tx, run.id, events, by)
        for event in events:
            await tx.insert(DeferredEvent(self._ids.new(), run.id, EVENT.dump_json(event).decode(), now))

    def tell_only(self, tx: Transaction, run_id: str, events: Sequence[Event], by: Actor = ENGINE) -> None:
        """For a run that has been erased: the audit trail tells of it, and nobody reads its journal any more."""
        _audit(tx, run_id, events, by)

    async def settle_rest(self, tx: Transaction, run: Run) -> Run:
        if run.state not in RESTING:
            return run
        return await tx.change(Run, {"id": run.id}, rest=run.journal) or run

    async def _flush(self, tx: Transaction, run: Run, now: int) -> Run:
        while waiting := await tx.find(DeferredEvent, {"run_id": run.id}, "id", MAX_AT_ONCE):
            events = [EVENT.validate_json(each.body) for each in waiting]
            run = await self._add(tx, run, [event for event in events if await _still_holds(tx, run, event)], now)
            await tx.remove(DeferredEvent, {"id": tuple(each.id for each in waiting)})
        return run

    async def _add(self, tx: Transaction, run: Run, events: Sequence[Event], now: int) -> Run:
        """More of a run that this transaction has locked."""
        await self._write(tx, run.id, run.journal, events, now)
        return await tx.change(Run, {"id": run.id}, journal=Plus(len(events))) or run

    async def _write(
        self, tx: Transaction, run_id: str, last: int, events: Sequence[Event | EndOfText], now: int
    ) -> None:
        for n, each in enumerate(events, last + 1):
            event, start = (each.event, each.start) if isinstance(each, EndOfText) else (each, None)
            body = EVENT.dump_json(event, exclude_none=True).decode()
            await tx.insert(JournalEvent(run_id, n, event.type, body, start, now))


async def _still_holds(tx: Transaction, run: Run, event: Event) -> bool:
    """A title that a person has replaced while it waited is not told any more: clients would show it."""
    if not isinstance(event, TitleGenerated):
        return True
    conversation = await tx.get(Conversation, id=run.conversation_id)
    return conversation is not None and conversation.title == event.title


def _audit(tx: Transaction, run_id: str, events: Sequence[Event | EndOfText], by: Actor) -> None:
    for each in events:
        audit_event(tx, run_id, each.event if isinstance(each, EndOfText) else each, by)
