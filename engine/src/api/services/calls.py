"""The calls of a turn: which count, which comes next, and how one is settled."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from src.api.ports import Transaction
from src.api.schemas.events import (
    Event,
    ToolApproved,
    ToolDenied,
    ToolExecuting,
    ToolExpired,
    ToolStale,
    ToolSuperseded,
    ToolVote,
)
from src.api.schemas.records import Approval, Call, Run
from src.api.schemas.states import OPEN_APPROVAL, UNSETTLED
from src.api.utils.shown import shown_object

__all__ = [
    "calls_of_turn",
    "decided_event",
    "executing_event",
    "first_open_change",
    "latest",
    "let_next_execute",
    "next_version",
    "queue_if_decided",
    "settle",
    "supersede_after",
    "vote_event",
]

MAX_CALLS = 1000
_DECIDED: dict[str, type[ToolApproved | ToolDenied | ToolExpired | ToolSuperseded | ToolStale]] = {
    "tool.approved": ToolApproved,
    "tool.denied": ToolDenied,
    "tool.expired": ToolExpired,
    "tool.superseded": ToolSuperseded,
    "tool.stale": ToolStale,
}


def latest(calls: Iterable[Call]) -> list[Call]:
    """Of each position in a turn of a run its newest version, in the model's order."""
    newest: dict[tuple[str, int, int], Call] = {}
    for call in sorted(calls, key=lambda each: each.version):
        newest[call.run_id, call.turn, call.position] = call
    return sorted(newest.values(), key=lambda each: (each.turn, each.position))


async def calls_of_turn(tx: Transaction, run: Run) -> list[Call]:
    return latest(await tx.find(Call, {"run_id": run.id, "turn": run.turn}, "position,version", MAX_CALLS))


def first_open_change(calls: Sequence[Call]) -> Call | None:
    """The change that stands in the way of all later ones."""
    return next((call for call in calls if call.kind == "change" and call.status in UNSETTLED), None)


async def settle(
    tx: Transaction, call: Call, status: str, now: int, *, error: str | None = None, result: str = "[]"
) -> Call:
    """Moves an unsettled call (or one whose outcome was unknown) to its end. One that is settled stays as it is."""
    moved = await tx.change(
        Call,
        {"id": call.id, "status": (*UNSETTLED, "unknown")},
        status=status,
        error=error,
        result=result,
        ended_at=now,
    )
    return moved or call


async def let_next_execute(tx: Transaction, run: Run, now: int, within_ms: int) -> None:
    """The execution clock of an approved change starts when nothing before it blocks it any more."""
    first = first_open_change(await calls_of_turn(tx, run))
    if first is not None and first.status == "approved":
        await tx.change(
            Approval, {"id": first.id, "status": "approved", "execute_by": None}, execute_by=now + within_ms
        )


async def queue_if_decided(tx: Transaction, run: Run, now: int, within_ms: int) -> bool:
    """Queues a run that rests, once the first open change of its turn no longer waits for a person."""
    await let_next_execute(tx, run, now, within_ms)
    first = first_open_change(await calls_of_turn(tx, run))
    if first is not None and first.status == "awaiting_approval":
        return False
    return await tx.change(Run, {"id": run.id, "state": "awaiting_approval"}, state="queued") is not None


async def supersede_after(tx: Transaction, run: Run, call: Call, reason: str, now: int) -> list[Event]:
    """Ends the turn's changes after `call`, whatever was decided about them; the events that tell of it."""
    events: list[Event] = []
    for later in await calls_of_turn(tx, run):
        if later.position <= call.position or later.kind != "change" or later.status not in UNSETTLED:
            continue
        await tx.change(Approval, {"id": later.id, "status": OPEN_APPROVAL}, status="superseded")
        await settle(tx, later, "superseded", now, error=reason)
        events.append(decided_event("tool.superseded", later, reason=reason))
    return events


def next_version(call: Call, call_id: str, now: int, *, args: str | None = None, shown: str | None = None) -> Call:
    """The same call as a new one, to be previewed and decided anew: what was shown before never changes."""
    return replace(
        call,
        id=call_id,
        version=call.version + 1,
        args=call.args if args is None else args,
        shown=call.shown if shown is None else shown,
        status="pending",
        result="[]",
        error=None,
        supersedes=call.id,
        created_at=now,
        started_at=None,
        ended_at=None,
        asks=True,
    )


def decided_event(
    kind: str, call: Call, *, by: str | None = None, reason: str | None = None, digest: str | None = None
) -> Event:
    variant = _DECIDED[kind]
    return variant.model_validate(
        {
            "type": kind,
            "call_id": call.id,
            "tool": call.tool,
            "title": call.title,
            "args": shown_object(call.shown),
            "decided_by": by,
            "reason": reason,
            "digest": digest,
        }
    )


def vote_event(call: Call, by: str, reason: str | None, votes: int, asked: Approval) -> Event:
    return ToolVote(
        type="tool.vote",
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=shown_object(call.shown),
        decided_by=by,
        reason=reason,
        digest=asked.digest,
        votes=votes,
        votes_needed=asked.votes,
    )


def executing_event(call: Call) -> Event:
    return ToolExecuting(
        type="tool.executing", call_id=call.id, tool=call.tool, title=call.title, args=shown_object(call.shown)
    )
