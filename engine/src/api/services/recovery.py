"""The sweep: what nobody attends to is taken up again (`protocol.md` 4, 7, and the clocks of approvals)."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial

from src.api.errors import EngineError, StoreUnavailable
from src.api.ports import Clock, Reader, Store, Transaction
from src.api.schemas.events import Event
from src.api.schemas.query import Where, at_most, below
from src.api.schemas.records import Approval, Call, Conversation, Run, Submission, User
from src.api.schemas.states import NOT_ENDED
from src.api.services.calls import decided_event, queue_if_decided, settle, supersede_after
from src.api.services.endings import Endings, lock_conversation
from src.api.services.erasure import erase_some
from src.api.services.journal import Journal
from src.api.services.settings import Limits

__all__ = ["Sweep"]

logger = logging.getLogger(__name__)

BATCH = 200
ERASED = 20
"""Deleted conversations of which some runs are erased in one round."""

UNTOUCHED_MS = 30_000
QUEUED_MS = 2_000
KEY_DAYS = 7
_NOBODY = "Nobody decided in time. Nothing was changed."
_LATE = "Approved, but not started in time. Nothing was changed."


class Sweep:
    """Runs in every process; what two of them find at once, the compare-and-sets give to one."""

    def __init__(
        self,
        store: Store,
        journal: Journal,
        endings: Endings,
        clock: Clock,
        limits: Limits,
        wake: Callable[[str], None],
        every: float,
    ) -> None:
        self._store = store
        self._journal = journal
        self._endings = endings
        self._clock = clock
        self._limits = limits
        self._wake = wake
        self._every = every

    async def forever(self) -> None:
        """Sweeps at once and then every `every` seconds, until cancelled."""
        while True:
            try:
                await self.once()
            except StoreUnavailable as error:
                logger.warning(error.detail, extra={"action": "sweep.failed"})
            await self._clock.sleep(self._every)

    async def once(self) -> None:
        now = await self._store.transaction(lambda tx: tx.now(), upkeep=True)
        await self._expire(now)
        await self._unstick(now)
        for run in await self._unattended(now):
            self._wake(run.id)
        await self.stop_removed()
        await self._erase(now)
        await self._forget(now)

    async def stop_removed(self, user_id: str | None = None) -> None:
        """Stops the runs of this removed person, or of all: those too that began while the removal was committed."""

        async def body(reader: Reader) -> list[Run]:
            begun: Where = {"state": NOT_ENDED, "stop_at": None}
            people = (user_id,) if user_id else tuple(await reader.distinct(Run, "user_id", begun))
            gone = await reader.find(User, {"id": people, "is_active": False}) if people else []
            whose = tuple(user.id for user in gone)
            return await reader.find(Run, {**begun, "user_id": whose}, "created_at", BATCH) if whose else []

        for run in await self._store.read(body):
            await self._take_up(run.id, partial(self._stop_one, run))

    async def _stop_one(self, run: Run, tx: Transaction) -> str | None:
        return await self._endings.stop_from_outside(tx, run.conversation_id, run.id)

    async def _take_up(self, run_id: str, move: Callable[[Transaction], Awaitable[str | None]]) -> None:
        """One row in a transaction of its own. One that is locked or broken is left, and holds up no other."""
        try:
            following = await self._store.transaction(move, upkeep=True)
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "sweep.left", "run_id": run_id, "code": error.code})
        except Exception:
            # The sweep recovers everybody's runs: a row that nobody foresaw must not end it.
            logger.exception("a row can't be swept", extra={"action": "sweep.broken_row", "run_id": run_id})
        else:
            if following is not None:
                self._wake(following)

    async def _unattended(self, now: int) -> list[Run]:
        async def body(reader: Reader) -> list[Run]:
            dead = await reader.find(Run, {"state": "running", "lease_until": below(now)}, "touched_at", BATCH)
            where: Where = {"state": "queued", "touched_at": at_most(now - QUEUED_MS)}
            return dead + await reader.find(Run, where, "touched_at", BATCH)

        return await self._store.read(body)

    # -- the two clocks

    async def _expire(self, now: int) -> None:
        async def body(reader: Reader) -> list[Approval]:
            pending = await reader.find(
                Approval, {"status": "pending", "approve_by": at_most(now)}, "approve_by", BATCH
            )
            where: Where = {"status": "approved", "execute_by": at_most(now)}
            return pending + await reader.find(Approval, where, "execute_by", BATCH)

        for approval in await self._store.read(body):
            await self._take_up(approval.run_id, partial(self._expire_one, approval))

    async def _expire_one(self, approval: Approval, tx: Transaction) -> str | None:
        """Its run, if that goes on now, the model being told that nothing was done."""
        run = await tx.change(Run, {"id": approval.run_id}, touched_at=await tx.now())
        now = await tx.now()
        clock = "approve_by" if approval.status == "pending" else "execute_by"
        guard: Where = {"id": approval.id, "status": approval.status, clock: at_most(now)}
        call = await tx.get(Call, id=approval.id)
        if run is None or call is None or await tx.change(Approval, guard, status="expired") is None:
            return None
        why = _NOBODY if clock == "approve_by" else _LATE
        await settle(tx, call, "expired", now, error=why)
        events: list[Event] = [decided_event("tool.expired", call, reason=why)]
        if clock == "execute_by":
            events += await supersede_after(tx, run, call, "An earlier change of the same turn expired.", now)
        await self._journal.record(tx, run.id, events, now)
        return run.id if await queue_if_decided(tx, run, now, self._limits.execute_ms) else None

    # -- what a crash between two commits may have left

    async def _unstick(self, now: int) -> None:
        async def body(reader: Reader) -> list[Run]:
            where: Where = {"state": ("awaiting_approval", "waiting"), "touched_at": at_most(now - UNTOUCHED_MS)}
            return await reader.find(Run, where, "touched_at", BATCH)

        for run in await self._store.read(body):
            move = self._promote_one if run.state == "waiting" else self._requeue_one
            await self._take_up(run.id, partial(move, run))

    async def _requeue_one(self, run: Run, tx: Transaction) -> str | None:
        now = await tx.now()
        locked = await tx.change(Run, {"id": run.id, "state": "awaiting_approval"}, touched_at=now)
        return (
            run.id if locked is not None and await queue_if_decided(tx, locked, now, self._limits.execute_ms) else None
        )

    async def _promote_one(self, run: Run, tx: Transaction) -> str | None:
        now = await tx.now()
        await lock_conversation(tx, run.conversation_id, now)
        await tx.change(Run, {"id": run.id, "state": "waiting"}, touched_at=now)
        return await self._endings.promote(tx, run.conversation_id, now)

    async def _erase(self, now: int) -> None:
        due: Where = {"erase_due": at_most(now)}
        for deleted in await self._store.read(lambda reader: reader.find(Conversation, due, "erase_due", ERASED)):
            await self._take_up(deleted.id, partial(self._erase_one, deleted))

    async def _erase_one(self, deleted: Conversation, tx: Transaction) -> None:
        await erase_some(tx, deleted.id)

    async def _forget(self, now: int) -> None:
        old: Where = {"created_at": below(now - KEY_DAYS * 86_400_000)}
        if await self._store.read(lambda reader: reader.find(Submission, old, limit=1)):
            await self._store.transaction(lambda tx: tx.remove(Submission, old), upkeep=True)
