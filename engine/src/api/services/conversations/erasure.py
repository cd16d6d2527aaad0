"""Erase the content of deleted conversations once nothing in them is running (`protocol.md` 9).

What stays: runs and their usage, names of the called tools, digests of requests and decisions, executions, and the
audit log.
"""

from src.api.ports import Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.query import Increment, Where, gt, is_not_null, le
from src.api.schemas.records import (
    Approval,
    Call,
    Conversation,
    ConversationSummary,
    DeferredEvent,
    Execution,
    JournalEvent,
    Message,
    Run,
    SearchText,
)
from src.api.schemas.states import NOT_ENDED
from src.api.services.audit.log import user_stream
from src.api.services.tools.conflicts import objects_kept_after_erasure

__all__ = ["erase_batch"]

RUNS_PER_TRANSACTION = 10
"""Runs per transaction."""

RETRY_MS = 15_000
LATE_ANSWER_MS = 3_600_000
"""How long an unknown execution may still be settled by a late answer."""


async def erase_batch(tx: Transaction, conversation_id: str) -> None:
    """Erase some runs of a deleted conversation; after the last run, its title and metadata.

    Postponed while something is running. A run's content is erased together with its messages in one transaction, so
    runs with messages are those left to erase.
    """
    now = await tx.now()
    guard: Where = {"id": conversation_id, "deleted_at": is_not_null(), "erase_due": le(now)}
    held = await tx.change(Conversation, guard, touches=Increment(1))
    if held is None:
        return
    runs = (await tx.distinct(Message, "run_id", {"conversation_id": conversation_id}))[:RUNS_PER_TRANSACTION]
    if await _is_under_way(tx, conversation_id, runs, now):
        await tx.change(Conversation, {"id": conversation_id}, erase_due=now + RETRY_MS)
        return
    for run_id in sorted(runs):
        await _erase_run(tx, run_id)
    if not runs:
        await tx.remove(SearchText, {"conversation_id": conversation_id})
        await tx.change(Conversation, {"id": conversation_id}, title=None, metadata="{}", erase_due=None)
        tx.audit(user_stream(held.owner_id), "conversation.erased", ENGINE, {"conversation_id": conversation_id})


async def _is_under_way(tx: Transaction, conversation_id: str, runs: list[str], now: int) -> bool:
    if await tx.find(Run, {"conversation_id": conversation_id, "state": NOT_ENDED}, limit=1):
        return True
    if not runs:
        return False
    of = tuple(runs)
    late: Where = {"run_id": of, "state": "unknown", "started_at": gt(now - LATE_ANSWER_MS)}
    return bool(
        await tx.find(Execution, {"run_id": of, "state": "started"}, limit=1) or await tx.find(Execution, late, limit=1)
    )


async def _erase_run(tx: Transaction, run_id: str) -> None:
    """Erase one run's content, in lock order. `rest_seq` 0 ends streams that still read it."""
    of = {"run_id": run_id}
    await tx.change(Run, {"id": run_id}, error=None, rest_seq=0)
    for approval in await tx.find(Approval, of, "id"):
        kept = objects_kept_after_erasure(approval)
        await tx.change(Approval, {"id": approval.id}, args="{}", preview=None, preconditions=None, objects=kept)
    await tx.change_all(Execution, of, result="[]", error=None, evidence=None)
    await tx.change_all(Call, of, args="{}", redacted_args="{}", provider_id="", result="[]", error=None)
    for kind in (JournalEvent, DeferredEvent, SearchText, ConversationSummary, Message):
        await tx.remove(kind, of)
