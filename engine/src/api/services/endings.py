"""How runs end, and who comes next in their conversation."""

from dataclasses import dataclass
from typing import Literal

from src.api.errors import NotFound
from src.api.ports import Ids, Store, Transaction
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.events import Completed, Event, ToolError, WorkflowComplete, WorkflowError
from src.api.schemas.query import Plus
from src.api.schemas.records import Approval, Call, Conversation, Run
from src.api.schemas.states import ACTIVE, ENDED, OPEN_APPROVAL, UNSETTLED
from src.api.services.calls import calls_of_turn, decided_event, settle
from src.api.services.generations import dropped, unfinished
from src.api.services.journal import Journal
from src.api.services.leases import Lease
from src.api.services.trail import run_stream

__all__ = ["Ending", "Endings", "lock_conversation"]

_STOPPED = "Stopped before it ran. Nothing was changed."
_SUPERSEDED = "A new message came before anybody decided. It was not run."


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ends: `state` of its row; `error` and `code` where it failed."""

    state: str
    result: str = ""
    error: str | None = None
    code: str | None = None


async def lock_conversation(tx: Transaction, conversation_id: str, now: int) -> Conversation | None:
    return await tx.change(Conversation, {"id": conversation_id}, touches=Plus(1), updated_at=now)


class Endings:
    """Each in the caller's transaction, the conversation locked first (`protocol.md` 4)."""

    def __init__(self, store: Store, journal: Journal, ids: Ids) -> None:
        self._store = store
        self._ids = ids
        self._journal = journal

    async def end_owned(self, lease: Lease, ending: Ending) -> str | None:
        """The owner ends its run. The id of the conversation's next run, now queued. Raises `RunFenced`."""

        async def body(tx: Transaction) -> str | None:
            now = await tx.now()
            await lock_conversation(tx, lease.conversation_id, now)
            run = await self._journal.record_as_owner(tx, lease.run_id, lease.fence, [], now)
            how = Ending("stopped") if run.stop_at is not None and ending.state == "completed" else ending
            lost = await unfinished(tx, run.id)
            events = [] if lost is None else dropped(lost, self._ids)
            events += await self._stop_calls(tx, run, now)
            last = _last_events(run, how, now)
            run = await self._journal.record_as_owner(tx, run.id, lease.fence, events, now, last)
            await self._close(tx, run, how, now)
            return await self.promote(tx, run.conversation_id, now)

        return await self._store.transaction(body)

    async def stop(self, tx: Transaction, run: Run, now: int, by: Actor = ENGINE) -> Run:
        """Stop, as a durable request: at once for a run that nobody works on; its owner ends one that is running."""
        if run.state in ENDED:
            return run
        if run.stop_at is None:
            run = await tx.change(Run, {"id": run.id, "stop_at": None}, stop_at=now) or run
            tx.audit(run_stream(run.id), "run.stop_asked", by, {"conversation_id": run.conversation_id})
        events = await self._stop_calls(tx, run, now)
        if run.state == "running":
            return await self._journal.record(tx, run.id, events, now, by) if events else run
        ending = Ending("stopped")
        run = await self._journal.record(tx, run.id, events + _last_events(run, ending, now), now, by)
        return await self._close(tx, run, ending, now)

    async def stop_from_outside(
        self, tx: Transaction, conversation_id: str, run_id: str, by: Actor = ENGINE
    ) -> str | None:
        """Locks what it takes, and stops the run. The id of the conversation's next run, if one is queued now.

        Raises `NotFound` where the conversation has no such run.
        """
        now = await tx.now()
        await lock_conversation(tx, conversation_id, now)
        run = await tx.change(Run, {"id": run_id, "conversation_id": conversation_id}, touched_at=now)
        if run is None:
            raise NotFound("There is no such run in this conversation.")
        run = await self.stop(tx, run, await tx.now(), by)
        return await self.promote(tx, conversation_id, now) if run.state in ENDED else None

    async def supersede(self, tx: Transaction, run: Run, now: int, by: Actor) -> Run:
        """Ends a run that waits for decisions because its person said something new: none of its changes runs."""
        events: list[Event] = []
        for call in await calls_of_turn(tx, run):
            if call.status not in UNSETTLED:
                continue
            await tx.change(Approval, {"id": call.id, "status": OPEN_APPROVAL}, status="superseded")
            await settle(tx, call, "superseded", now, error=_SUPERSEDED)
            events.append(decided_event("tool.superseded", call, reason=_SUPERSEDED))
        ending = Ending("completed", result="Superseded by a new message.")
        run = await self._journal.record(tx, run.id, events + _last_events(run, ending, now), now, by)
        return await self._close(tx, run, ending, now)

    async def promote(self, tx: Transaction, conversation_id: str, now: int) -> str | None:
        """The longest waiting run of a conversation becomes queued, unless there is an active one."""
        if await tx.find(Run, {"conversation_id": conversation_id, "state": ACTIVE}, limit=1):
            return None
        waiting = await tx.find(Run, {"conversation_id": conversation_id, "state": "waiting"}, "created_at,id", 1)
        if not waiting:
            return None
        queued = await tx.change(Run, {"id": waiting[0].id, "state": "waiting"}, state="queued", touched_at=now)
        return None if queued is None else queued.id

    async def _stop_calls(self, tx: Transaction, run: Run, now: int) -> list[Event]:
        """What has not started never will. A change that is under way ends as its result or as unknown."""
        events: list[Event] = []
        for call in await calls_of_turn(tx, run):
            if call.status not in UNSETTLED or (call.kind == "change" and call.status == "executing"):
                continue
            await tx.change(Approval, {"id": call.id, "status": OPEN_APPROVAL}, status="stopped")
            await settle(tx, call, "stopped", now, error=_STOPPED)
            events.append(_stopped_event(call))
        return events

    async def _close(self, tx: Transaction, run: Run, ending: Ending, now: int) -> Run:
        closed = await tx.change(
            Run,
            {"id": run.id, "state": run.state, "fence": run.fence},
            state=ending.state,
            owner=None,
            lease_until=None,
            rest=run.journal,
            error=ending.error,
            error_code=ending.code,
            touched_at=now,
            ended_at=now,
        )
        return closed or run


def _last_events(run: Run, ending: Ending, now: int) -> list[Event]:
    took = max(0, now - run.created_at)
    if ending.state == "failed":
        error, code = ending.error or "The run failed.", ending.code or "internal"
        return [
            Completed(type="completed", status="error", duration_ms=took),
            WorkflowError(type="workflow_error", error=error, code=code, status="error"),
        ]
    status: Literal["stopped", "completed"] = "stopped" if ending.state == "stopped" else "completed"
    return [
        Completed(type="completed", status=status, duration_ms=took),
        WorkflowComplete(type="workflow_complete", status=status, result=ending.result),
    ]


def _stopped_event(call: Call) -> Event:
    return ToolError(type="tool.error", call_id=call.id, tool=call.tool, title=call.title, error=_STOPPED)
