"""What a deleted conversation held is taken away once nothing of it is under way (`protocol.md` 9).

What stays is that something was done, by whom, when and with what end: runs and their figures, which tool was called,
what was asked for and decided (by its digest), executions, and the audit trail.
"""

from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.query import Plus, Where, above, at_most, no
from src.api.schemas.records import (
    Approval,
    Call,
    Conversation,
    DeferredEvent,
    Execution,
    JournalEvent,
    Message,
    Run,
    SearchText,
)
from src.api.schemas.states import NOT_ENDED
from src.api.services.beside import lasting_objects
from src.api.services.trail import user_stream

__all__ = ["erase_some", "is_erased"]

RUNS = 10
"""Of one conversation, in one transaction."""

AGAIN_MS = 15_000
LATE_ANSWER_MS = 3_600_000
"""An answer that comes late settles an execution whose outcome was unknown: so long it is waited for."""


async def erase_some(tx: Transaction, conversation_id: str) -> None:
    """Erases some runs of a deleted conversation, or what is left of itself when none remain; later, if it must wait.

    Each run is erased with its messages in one transaction, so those that have messages are those to be erased.
    """
    now = await tx.now()
    guard: Where = {"id": conversation_id, "deleted_at": no(None), "erase_due": at_most(now)}
    held = await tx.change(Conversation, guard, touches=Plus(1))
    if held is None:
        return
    runs = (await tx.distinct(Message, "run_id", {"conversation_id": conversation_id}))[:RUNS]
    if await _is_under_way(tx, conversation_id, runs, now):
        await tx.change(Conversation, {"id": conversation_id}, erase_due=now + AGAIN_MS)
        return
    for run_id in sorted(runs):
        await _erase_run(tx, run_id)
    if not runs:
        await tx.remove(SearchText, {"conversation_id": conversation_id})
        await tx.change(Conversation, {"id": conversation_id}, title=None, metadata="{}", erase_due=None)
        tx.audit(user_stream(held.owner_id), "conversation.erased", ENGINE, {"conversation_id": conversation_id})


async def is_erased(tx: Transaction, run_id: str) -> bool:
    """Whether this run, whose row the transaction has locked, has been erased: it is then to get no contents again."""
    return not await tx.find(Message, {"run_id": run_id}, limit=1)


async def _is_under_way(tx: Transaction, conversation_id: str, runs: list[str], now: int) -> bool:
    if await tx.find(Run, {"conversation_id": conversation_id, "state": NOT_ENDED}, limit=1):
        return True
    if not runs:
        return False
    of = tuple(runs)
    late: Where = {"run_id": of, "state": "unknown", "started_at": above(now - LATE_ANSWER_MS)}
    return bool(
        await tx.find(Execution, {"run_id": of, "state": "started"}, limit=1) or await tx.find(Execution, late, limit=1)
    )


async def _erase_run(tx: Transaction, run_id: str) -> None:
    """In the order of locks. `rest` 0 ends the stream of whoever is still reading what is taken away."""
    of = {"run_id": run_id}
    await tx.change(Run, {"id": run_id}, error=None, rest=0)
    for approval in await tx.find(Approval, of, "id"):
        kept = lasting_objects(approval)
        await tx.change(Approval, {"id": approval.id}, args="{}", preview=None, preconditions=None, objects=kept)
    await tx.change_all(Execution, of, result="[]", error=None, evidence=None)
    await tx.change_all(Call, of, args="{}", shown="{}", provider_id="", result="[]", error=None)
    for kind in (JournalEvent, DeferredEvent, SearchText, Message):
        await tx.remove(kind, of)
