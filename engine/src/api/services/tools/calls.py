"""Find, order and settle the tool calls of a turn."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from src.api.ports import Transaction
from src.api.schemas.approvals import Person
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
from src.api.schemas.policy import BY_POLICY
from src.api.schemas.query import Assign
from src.api.schemas.records import Approval, Call, Execution, Message, Run
from src.api.schemas.states import OPEN_APPROVAL, UNSETTLED
from src.api.utils.json_columns import load_object

__all__ = [
    "calls_of_turn",
    "create_execution",
    "create_next_version",
    "decided_event",
    "executing_event",
    "find_queued_values",
    "first_unsettled_change",
    "is_erased",
    "latest_versions",
    "settle_call",
    "start_execution_clock",
    "supersede_later_changes",
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


def latest_versions(calls: Iterable[Call]) -> list[Call]:
    """Return the newest version of each call of a turn, in the model's order."""
    newest: dict[tuple[str, int, int], Call] = {}
    for call in sorted(calls, key=lambda each: each.version):
        newest[call.run_id, call.turn, call.position] = call
    return sorted(newest.values(), key=lambda each: (each.turn, each.position))


async def is_erased(tx: Transaction, run_id: str) -> bool:
    """Return whether the run has been erased and must not get content again. The transaction has locked its row."""
    return not await tx.find(Message, {"run_id": run_id}, limit=1)


async def calls_of_turn(tx: Transaction, run: Run) -> list[Call]:
    return latest_versions(await tx.find(Call, {"run_id": run.id, "turn": run.turn}, "position,version", MAX_CALLS))


def first_unsettled_change(calls: Sequence[Call]) -> Call | None:
    """Return the first change without an outcome; all later changes wait for it."""
    return next((call for call in calls if call.kind == "change" and call.status in UNSETTLED), None)


async def settle_call(
    tx: Transaction, call: Call, status: str, now: int, *, error: str | None = None, result: str = "[]"
) -> Call:
    """Set the final status of an unsettled call, or of one whose outcome was unknown; leave a settled call as it is."""
    moved = await tx.change(
        Call,
        {"id": call.id, "status": (*UNSETTLED, "unknown")},
        status=status,
        error=error,
        result=result,
        ended_at=now,
    )
    return moved or call


def create_execution(approval: Approval, fence: int, nonce: str, now: int) -> Execution:
    """Return the row that says, once it is committed, that the approved change has been started."""
    return Execution(
        id=approval.id,
        run_id=approval.run_id,
        fence=fence,
        nonce=nonce,
        state="started",
        effect=None,
        code=None,
        result="[]",
        error=None,
        settled_by=None,
        evidence=None,
        started_at=now,
        ended_at=None,
    )


async def start_execution_clock(tx: Transaction, run: Run, now: int, within_ms: int) -> Call | None:
    """Start the execution timeout of the first unsettled change, if it is approved, and return that change."""
    first = first_unsettled_change(await calls_of_turn(tx, run))
    if first is not None and first.status == "approved":
        await tx.change(
            Approval, {"id": first.id, "status": "approved", "execute_by": None}, execute_by=now + within_ms
        )
    return first


async def find_queued_values(tx: Transaction, run: Run, now: int, within_ms: int) -> dict[str, Assign]:
    """Return the columns with which to queue a resting run, which this transaction has locked.

    There are none for a run that does not rest, or while the first unsettled change of its turn waits for a decision.
    """
    first = await start_execution_clock(tx, run, now, within_ms)
    if run.state != "awaiting_approval" or (first is not None and first.status == "awaiting_approval"):
        return {}
    return {"state": "queued", "rested_at": None, "waited_ms": run.waited_until(now)}


async def supersede_later_changes(tx: Transaction, run: Run, call: Call, reason: str, now: int) -> list[Event]:
    """Supersede the unsettled changes of the turn after `call`, decided or not, and return their events."""
    events: list[Event] = []
    for later in await calls_of_turn(tx, run):
        if later.position <= call.position or later.kind != "change" or later.status not in UNSETTLED:
            continue
        await tx.change(Approval, {"id": later.id, "status": OPEN_APPROVAL}, status="superseded")
        await settle_call(tx, later, "superseded", now, error=reason)
        events.append(decided_event("tool.superseded", later, reason=reason))
    return events


def create_next_version(
    call: Call, call_id: str, now: int, *, args: str | None = None, redacted_args: str | None = None
) -> Call:
    """Return the call as a new version to be previewed and decided again; the earlier version stays as it was shown."""
    return replace(
        call,
        id=call_id,
        version=call.version + 1,
        args=call.args if args is None else args,
        redacted_args=call.redacted_args if redacted_args is None else redacted_args,
        status="pending",
        result="[]",
        error=None,
        supersedes=call.id,
        created_at=now,
        started_at=None,
        ended_at=None,
        needs_approval=True,
    )


def decided_event(
    kind: str,
    call: Call,
    *,
    by: str | None = None,
    person: Person | None = None,
    policy: str | None = None,
    reason: str | None = None,
    digest: str | None = None,
) -> Event:
    """Build the event of a decision by `person`, or by the rule `policy`."""
    variant = _DECIDED[kind]
    return variant.model_validate(
        {
            "type": kind,
            "call_id": call.id,
            "tool": call.tool,
            "title": call.title,
            "args": load_object(call.redacted_args),
            "decided_by": by if policy is None else f"{BY_POLICY}{policy}",
            "decided_by_user": person,
            "decided_by_policy": policy,
            "reason": reason,
            "digest": digest,
        }
    )


def vote_event(call: Call, by: str, person: Person, reason: str | None, votes: int, approval: Approval) -> Event:
    return ToolVote(
        type="tool.vote",
        call_id=call.id,
        tool=call.tool,
        title=call.title,
        args=load_object(call.redacted_args),
        decided_by=by,
        decided_by_user=person,
        reason=reason,
        digest=approval.digest,
        votes=votes,
        votes_needed=approval.votes,
    )


def executing_event(call: Call) -> Event:
    return ToolExecuting(
        type="tool.executing", call_id=call.id, tool=call.tool, title=call.title, args=load_object(call.redacted_args)
    )
