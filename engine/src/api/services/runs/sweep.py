"""Resume runs without an owner, expire approvals, and erase old and deleted conversations (`protocol.md` 4 and 7)."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from src.api.errors import EngineError
from src.api.ports import Clock, Reader, Store, Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.events import Event
from src.api.schemas.query import Where, le, lt
from src.api.schemas.records import Approval, BudgetWarning, Call, Conversation, Run, Submission, User
from src.api.schemas.states import NOT_ENDED
from src.api.services.background import run_periodically, warn
from src.api.services.conversations.erasure import erase_batch
from src.api.services.conversations.retention import RetentionScan, delete_expired
from src.api.services.conversations.rows import lock_conversation
from src.api.services.limits import Limits
from src.api.services.runs.completion import RunCompletion
from src.api.services.streaming.journal import Journal
from src.api.services.tools.calls import decided_event, find_queued_values, settle_call, supersede_later_changes
from src.api.utils.times import DAY_MS

__all__ = ["Sweep"]

logger = logging.getLogger(__name__)

BATCH = 200
ERASE_BATCH = 20
"""Deleted conversations from which one sweep erases runs."""

STUCK_AFTER_MS = 30_000
UNCLAIMED_AFTER_MS = 2_000
KEY_DAYS = 7
_NOT_DECIDED = "No decision was made in time. Nothing was changed."
_NOT_STARTED = "Approved, but not started in time. Nothing was changed."


@dataclass(slots=True)
class Sweep:
    """Sweep for overdue work in every process; a compare-and-set decides between processes that find the same row."""

    store: Store
    journal: Journal
    completion: RunCompletion
    clock: Clock
    limits: Limits
    wake: Callable[[str], None]
    interval: float
    _retention: RetentionScan = field(init=False)

    def __post_init__(self) -> None:
        self._retention = RetentionScan(self.store)

    async def run_forever(self) -> None:
        """Sweep at once and then every `interval` seconds, until cancelled."""
        await run_periodically(self.once, self.clock, lambda: self.interval, warn(logger, "sweep.failed"))

    async def once(self) -> None:
        now = await self.store.transaction(lambda tx: tx.now(), upkeep=True)
        await self._expire(now)
        await self._requeue_stuck(now)
        for run in await self._find_unattended(now):
            self.wake(run.id)
        await self.stop_removed()
        await self._delete_expired(now)
        await self._erase_deleted(now)
        await self._delete_old_keys(Submission, now)
        await self._delete_old_keys(BudgetWarning, now)

    async def stop_removed(self, user_id: str | None = None) -> None:
        """Stop the runs of one removed user, or of all removed users.

        Covers runs that were started while the removal was being committed.
        """

        async def body(reader: Reader) -> list[Run]:
            active: Where = {"state": NOT_ENDED, "stop_at": None}
            people = (user_id,) if user_id else tuple(await reader.distinct(Run, "user_id", active))
            removed = await reader.find(User, {"id": people, "is_active": False}) if people else []
            user_ids = tuple(user.id for user in removed)
            return await reader.find(Run, {**active, "user_id": user_ids}, "created_at", BATCH) if user_ids else []

        for run in await self.store.read(body):
            await self.stop_one(run)

    async def stop_one(self, run: Run) -> None:
        """Stop one run that no worker executes. A failure is logged."""
        await self._process(run.id, partial(self._stop_one, run))

    async def _stop_one(self, run: Run, tx: Transaction) -> str | None:
        return await self.completion.lock_and_stop(tx, run.conversation_id, run.id)

    async def _process(self, run_id: str, move: Callable[[Transaction], Awaitable[str | None]]) -> None:
        """Process one row in its own transaction. A failure is logged and does not affect other rows."""
        try:
            next_run_id = await self.store.transaction(move, upkeep=True)
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "sweep.left", "run_id": run_id, "code": error.code})
        except Exception:
            # One row with unexpected content must not end the sweep, which recovers the runs of all users.
            logger.exception("A row can't be swept.", extra={"action": "sweep.broken_row", "run_id": run_id})
        else:
            if next_run_id is not None:
                self.wake(next_run_id)

    async def _find_unattended(self, now: int) -> list[Run]:
        async def body(reader: Reader) -> list[Run]:
            dead = await reader.find(Run, {"state": "running", "lease_until": lt(now)}, "updated_at", BATCH)
            where: Where = {"state": "queued", "updated_at": le(now - UNCLAIMED_AFTER_MS)}
            return dead + await reader.find(Run, where, "updated_at", BATCH)

        return await self.store.read(body)

    # -- expired approvals

    async def _expire(self, now: int) -> None:
        async def body(reader: Reader) -> list[Approval]:
            pending = await reader.find(Approval, {"status": "pending", "approve_by": le(now)}, "approve_by", BATCH)
            where: Where = {"status": "approved", "execute_by": le(now)}
            return pending + await reader.find(Approval, where, "execute_by", BATCH)

        for approval in await self.store.read(body):
            await self._process(approval.run_id, partial(self._expire_one, approval))

    async def _expire_one(self, approval: Approval, tx: Transaction) -> str | None:
        """Expire the approval. Returns the run's id if the run goes on now, to inform the model."""
        run = await tx.change(Run, {"id": approval.run_id}, updated_at=await tx.now())
        now = await tx.now()
        clock = "approve_by" if approval.status == "pending" else "execute_by"
        guard: Where = {"id": approval.id, "status": approval.status, clock: le(now)}
        call = await tx.get(Call, id=approval.id)
        if run is None or call is None or await tx.change(Approval, guard, status="expired") is None:
            return None
        reason = _NOT_DECIDED if clock == "approve_by" else _NOT_STARTED
        await settle_call(tx, call, "expired", now, error=reason)
        events: list[Event] = [decided_event("tool.expired", call, reason=reason)]
        if clock == "execute_by":
            events += await supersede_later_changes(tx, run, call, "An earlier change of the same turn expired.", now)
        queued = await find_queued_values(tx, run, now, self.limits.start_timeout_ms)
        await self.journal.record(tx, run, events, now, ENGINE, **queued)
        return run.id if queued else None

    # -- runs that a crash between two commits left behind

    async def _requeue_stuck(self, now: int) -> None:
        async def body(reader: Reader) -> list[Run]:
            where: Where = {"state": ("awaiting_approval", "waiting"), "updated_at": le(now - STUCK_AFTER_MS)}
            return await reader.find(Run, where, "updated_at", BATCH)

        for run in await self.store.read(body):
            move = self._promote_one if run.state == "waiting" else self._requeue_one
            await self._process(run.id, partial(move, run))

    async def _requeue_one(self, run: Run, tx: Transaction) -> str | None:
        now = await tx.now()
        resting: Where = {"id": run.id, "state": "awaiting_approval"}
        locked = await tx.change(Run, resting, updated_at=now)
        if locked is None:
            return None
        queued = await find_queued_values(tx, locked, now, self.limits.start_timeout_ms)
        return run.id if queued and await tx.change(Run, resting, **queued) is not None else None

    async def _promote_one(self, run: Run, tx: Transaction) -> str | None:
        await lock_conversation(tx, run.conversation_id)
        now = await tx.now()
        await tx.change(Run, {"id": run.id, "state": "waiting"}, updated_at=now)
        return await self.completion.promote(tx, run.conversation_id, now)

    async def _delete_expired(self, now: int) -> None:
        if self.limits.retention_days is None:
            return
        cutoff = now - self.limits.retention_days * DAY_MS
        for expired in await self._retention.next_batch(cutoff):
            await self._process(expired.id, partial(self._delete_one, expired, cutoff))

    async def _delete_one(self, expired: Conversation, cutoff: int, tx: Transaction) -> None:
        await delete_expired(tx, expired.id, cutoff)

    async def _erase_deleted(self, now: int) -> None:
        due: Where = {"erase_due": le(now)}
        for deleted in await self.store.read(lambda reader: reader.find(Conversation, due, "erase_due", ERASE_BATCH)):
            await self._process(deleted.id, partial(self._erase_one, deleted))

    async def _erase_one(self, deleted: Conversation, tx: Transaction) -> None:
        await erase_batch(tx, deleted.id)

    async def _delete_old_keys(self, kind: type[Submission] | type[BudgetWarning], now: int) -> None:
        old: Where = {"created_at": lt(now - KEY_DAYS * DAY_MS)}
        if await self.store.read(lambda reader: reader.find(kind, old, limit=1)):
            await self.store.transaction(lambda tx: tx.remove(kind, old), upkeep=True)
