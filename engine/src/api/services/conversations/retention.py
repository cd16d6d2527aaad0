"""Delete conversations whose last activity is older than the retention time, as their owners would."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.ports import Reader, Store, Transaction
from src.api.schemas.audit import ENGINE, Actor
from src.api.schemas.query import Increment, KeysetRange, Where, lt
from src.api.schemas.records import Approval, Call, Conversation, Run, SearchText
from src.api.schemas.states import NOT_ENDED, OPEN_APPROVAL, UNSETTLED
from src.api.services.audit.log import user_stream

__all__ = ["PruneReport", "Pruning", "RetentionScan", "delete_expired", "is_kept"]

BATCH = 20
"""Conversations that one sweep looks at."""


@dataclass(slots=True)
class RetentionScan:
    """Walk over the expired conversations in batches, oldest activity first.

    Conversations that must be kept do not hold up the others: each batch begins where the last one ended.
    """

    store: Store
    _after: tuple[int, str] | None = None

    async def next_batch(self, cutoff: int) -> Sequence[Conversation]:
        """Return the next conversations without activity since `cutoff` (ms); none at the end, then from the start."""
        older = KeysetRange(self._after, (cutoff, ""), ascending=True)
        where: Where = {"deleted_at": None, "updated_at": older}
        found = await self.store.read(lambda reader: reader.find(Conversation, where, "updated_at,id", BATCH))
        self._after = (found[-1].updated_at, found[-1].id) if found else None
        return found


@dataclass(frozen=True, slots=True)
class PruneReport:
    """How many expired conversations were deleted, or would be, and how many must be kept."""

    deleted: int
    kept: int


@dataclass(frozen=True, slots=True)
class Pruning:
    """Delete all expired conversations at once, by `actor`. The engines' sweep erases their contents."""

    store: Store
    actor: Actor

    async def run(self, cutoff: int, *, dry_run: bool) -> PruneReport:
        """Delete what was not active since `cutoff` (ms); with `dry_run`, only count it."""
        scan = RetentionScan(self.store)
        seen = kept = 0
        while batch := await scan.next_batch(cutoff):
            for expired in batch:
                seen += 1
                kept += await self._must_keep(expired.id) if dry_run else not await self._delete(expired.id, cutoff)
        return PruneReport(seen - kept, kept)

    async def _must_keep(self, conversation_id: str) -> bool:
        return await self.store.read(lambda reader: is_kept(reader, conversation_id))

    async def _delete(self, conversation_id: str, cutoff: int) -> bool:
        return await self.store.transaction(lambda tx: delete_expired(tx, conversation_id, cutoff, self.actor))


async def delete_expired(tx: Transaction, conversation_id: str, cutoff: int, by: Actor = ENGINE) -> bool:
    """Hide the conversation and schedule its erasure. Return False if it was active since, or must be kept."""
    guard: Where = {"id": conversation_id, "deleted_at": None, "updated_at": lt(cutoff)}
    locked = await tx.change(Conversation, guard, touches=Increment(1))
    if locked is None or await is_kept(tx, conversation_id):
        return False
    now = await tx.now()
    await tx.change(Conversation, guard, deleted_at=now, erase_due=now)
    await tx.remove(SearchText, {"conversation_id": conversation_id})
    body = {"conversation_id": conversation_id, "reason": "retention"}
    tx.audit(user_stream(locked.owner_id), "conversation.deleted", by, {**body})
    return True


async def is_kept(reader: Reader, conversation_id: str) -> bool:
    """Return whether the conversation has an active run, an open approval, or a change whose outcome is unknown."""
    here: Where = {"conversation_id": conversation_id}
    return bool(
        await reader.find(Run, {**here, "state": NOT_ENDED}, limit=1)
        or await reader.find(Approval, {**here, "status": OPEN_APPROVAL}, limit=1)
        or await reader.find(Call, {**here, "status": (*UNSETTLED, "unknown")}, limit=1)
    )
