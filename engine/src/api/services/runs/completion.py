"""End runs, and queue the next run of their conversation."""

from dataclasses import dataclass
from typing import Literal

from src.api.errors import NotFound
from src.api.ports import Ids, Store, Transaction
from src.api.schemas.approvals import Effect
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.events import Event, ToolError
from src.api.schemas.query import Assign, ColumnPlus, Increment, Now, Where
from src.api.schemas.records import Approval, Call, Run
from src.api.schemas.states import ACTIVE, ENDED, OPEN_APPROVAL, UNSETTLED
from src.api.services.audit.log import run_stream
from src.api.services.conversations.rows import lock_conversation
from src.api.services.lease import Lease
from src.api.services.streaming.final_events import FINAL_EVENTS, build_final_events
from src.api.services.streaming.generations import build_discard_events, find_unfinished_generation
from src.api.services.streaming.journal import Journal, TextBoundary
from src.api.services.tools.calls import calls_of_turn, decided_event, settle_call

__all__ = ["RunCompletion", "RunResult"]

_STOPPED = "Stopped before it ran. Nothing was changed."
_SUPERSEDED = "A new message arrived before this was decided. It was not run."


@dataclass(frozen=True, slots=True)
class RunResult:
    """The end of a run: the `state` of its row, and `error` and `code` if it failed."""

    state: Literal["completed", "failed", "stopped"]
    result: str = ""
    error: str | None = None
    code: str | None = None


@dataclass(slots=True)
class RunCompletion:
    """End runs inside the caller's transaction, which locks the conversation first (`protocol.md` 4)."""

    store: Store
    journal: Journal
    ids: Ids

    async def finish_as_owner(self, lease: Lease, run_result: RunResult, *, is_settled: bool = False) -> str | None:
        """End the run as its owner. Returns the id of the conversation's next run if one was queued.

        `is_settled` says that the run's last turn has no calls and that no generation lacks its end, which saves
        looking for them. Raises `RunFenced`.
        """

        async def body(tx: Transaction) -> str | None:
            await lock_conversation(tx, lease.conversation_id)
            if not is_settled or not await self._end_settled(tx, lease, run_result):
                await self._settle_and_end(tx, lease, run_result)
            return await self.promote(tx, lease.conversation_id, await tx.now())

        return await self.store.transaction(body)

    async def _end_settled(self, tx: Transaction, lease: Lease, run_result: RunResult) -> bool:
        """End a run without open calls and generations by one UPDATE. Returns False, without a change, if a stop was
        requested or another worker owns the run.
        """
        where: Where = {"id": lease.run_id, "fence": lease.fence, "state": "running", "stop_at": None}
        run = await tx.change(
            Run,
            where,
            journal=Increment(FINAL_EVENTS),
            rest_seq=ColumnPlus("journal", FINAL_EVENTS),
            **_end_values(run_result, Now()),
        )
        if run is None:
            return False
        now = await tx.now() if run.ended_at is None else run.ended_at
        events = _build_final_events(run, run_result, now)
        await self.journal.record_locked(tx, run, [], now, events, reserved=FINAL_EVENTS)
        return True

    async def _settle_and_end(self, tx: Transaction, lease: Lease, run_result: RunResult) -> None:
        """Settle what is open, and end the run; a requested stop turns "completed" into "stopped"."""
        run = await self.journal.lock_as_owner(tx, lease.run_id, lease.fence)
        now = await tx.now()
        is_stopped = run.stop_at is not None and run_result.state == "completed"
        outcome = RunResult("stopped") if is_stopped else run_result
        events = await self._settle(tx, run, now)
        final_events = _build_final_events(run, outcome, now)
        await self.journal.record_locked(tx, run, events, now, final_events, reserved=0, **_end_values(outcome, now))

    async def _settle(self, tx: Transaction, run: Run, now: int) -> list[Event | TextBoundary]:
        """Discard a generation without an end, and stop the calls that have not started."""
        unfinished = await find_unfinished_generation(tx, run.id)
        events = [] if unfinished is None else build_discard_events(unfinished.generation_id, self.ids)
        return [*events, *await self._stop_calls(tx, run, now)]

    async def stop(self, tx: Transaction, run: Run, now: int, by: Actor = ENGINE) -> Run:
        """Record a stop request. A run that no worker executes ends at once; a running one is ended by its owner."""
        if run.state in ENDED:
            return run
        if run.stop_at is None:
            run = await tx.change(Run, {"id": run.id, "stop_at": None}, stop_at=now) or run
            tx.audit(run_stream(run.id), "run.stop_asked", by, {"conversation_id": run.conversation_id})
        events = await self._stop_calls(tx, run, now)
        if run.state == "running":
            return await self.journal.record(tx, run, events, now, by) if events else run
        run_result = RunResult("stopped")
        run = await self.journal.record(tx, run, events + _build_final_events(run, run_result, now), now, by)
        return await self._write_end(tx, run, run_result, now)

    async def lock_and_stop(self, tx: Transaction, conversation_id: str, run_id: str, by: Actor = ENGINE) -> str | None:
        """Lock the conversation and the run, then stop the run. Returns the id of the next run if one was queued.

        Raises `NotFound` if the conversation has no such run.
        """
        await lock_conversation(tx, conversation_id)
        run = await tx.change(Run, {"id": run_id, "conversation_id": conversation_id}, updated_at=Now())
        if run is None:
            raise NotFound("There is no such run in this conversation.")
        now = await tx.now()
        run = await self.stop(tx, run, now, by)
        return await self.promote(tx, conversation_id, now) if run.state in ENDED else None

    async def supersede(self, tx: Transaction, run: Run, now: int, by: Actor) -> Run:
        """End a run that waits for decisions because its user sent a new message. None of its changes is executed."""
        events: list[Event] = []
        for call in await calls_of_turn(tx, run):
            if call.status not in UNSETTLED:
                continue
            await tx.change(Approval, {"id": call.id, "status": OPEN_APPROVAL}, status="superseded")
            await settle_call(tx, call, "superseded", now, error=_SUPERSEDED)
            events.append(decided_event("tool.superseded", call, reason=_SUPERSEDED))
        run_result = RunResult("completed", result="Superseded by a new message.")
        run = await self.journal.record(tx, run, events + _build_final_events(run, run_result, now), now, by)
        return await self._write_end(tx, run, run_result, now)

    async def promote(self, tx: Transaction, conversation_id: str, now: int) -> str | None:
        """Queue the conversation's oldest waiting run, unless another run is active. Returns its id."""
        waiting_runs = await tx.find(Run, {"conversation_id": conversation_id, "state": "waiting"}, "created_at,id", 1)
        if not waiting_runs:
            return None
        if await tx.find(Run, {"conversation_id": conversation_id, "state": ACTIVE}, limit=1):
            return None
        queued = await tx.change(Run, {"id": waiting_runs[0].id, "state": "waiting"}, state="queued", updated_at=now)
        return None if queued is None else queued.id

    async def _stop_calls(self, tx: Transaction, run: Run, now: int) -> list[Event]:
        """Settle every call that has not started as stopped. An executing change still gets its own outcome."""
        events: list[Event] = []
        for call in await calls_of_turn(tx, run):
            if call.status not in UNSETTLED or (call.kind == "change" and call.status == "executing"):
                continue
            await tx.change(Approval, {"id": call.id, "status": OPEN_APPROVAL}, status="stopped")
            await settle_call(tx, call, "stopped", now, error=_STOPPED)
            events.append(_build_stopped_event(call))
        return events

    async def _write_end(self, tx: Transaction, run: Run, run_result: RunResult, now: int) -> Run:
        closed = await tx.change(
            Run,
            {"id": run.id, "state": run.state, "fence": run.fence},
            rest_seq=run.journal,
            waited_ms=run.waited_until(now),
            **_end_values(run_result, now),
        )
        return closed or run


def _end_values(run_result: RunResult, now: int | Now) -> dict[str, Assign]:
    """Return the columns of a run that has ended. `waited_ms` of a running run already holds all its waits."""
    return {
        "state": run_result.state,
        "owner": None,
        "lease_until": None,
        "error": run_result.error,
        "error_code": run_result.code,
        "updated_at": now,
        "ended_at": now,
        "rested_at": None,
    }


def _build_final_events(run: Run, run_result: RunResult, now: int) -> list[Event]:
    """Return the events with which the run ends."""
    return build_final_events(
        run, run_result.state, now, result=run_result.result, error=run_result.error, code=run_result.code
    )


def _build_stopped_event(call: Call) -> Event:
    effect: Effect | None = "none" if call.kind == "change" else None
    return ToolError(
        type="tool.error", call_id=call.id, tool=call.tool, title=call.title, error=_STOPPED, effect=effect
    )
