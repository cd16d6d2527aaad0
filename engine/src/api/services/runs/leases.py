"""Claim runs, renew their leases, and give them up before another worker may take over (`protocol.md` 7)."""

import asyncio
import logging
from dataclasses import dataclass

from src.api.errors import StoreUnavailable
from src.api.ports import Clock, Store, Transaction
from src.api.schemas.query import Assign, Increment, Now, Where, gt, lt
from src.api.schemas.records import Run
from src.api.services.lease import Lease

__all__ = ["LeaseSettings", "Leases"]

logger = logging.getLogger(__name__)

RELEASED = 0
"""`lease_until` of a run that its owner released for other workers."""


@dataclass(frozen=True, slots=True)
class LeaseSettings:
    """`lease` is in seconds; a lease is renewed every fifth of it."""

    lease: float = 15
    max_restarts: int = 3

    @property
    def duration_ms(self) -> int:
        return int(self.lease * 1000)


@dataclass(slots=True)
class Leases:
    """Claim, renew and release runs for this process. `owner` names the process in the rows."""

    store: Store
    clock: Clock
    owner: str
    settings: LeaseSettings

    async def claim(self, run_id: str) -> Lease | None:
        """Claim a queued run, or one whose lease has expired or was released; None if the run is none of these.

        Only an expired lease counts as a restart, not one that was released at shutdown. A caller that is cancelled
        meanwhile leaves no claim behind.
        """
        sent = self.clock.monotonic()

        async def body(tx: Transaction) -> tuple[Run | None, bool]:
            claimed: dict[str, Assign] = {
                "state": "running",
                "owner": self.owner,
                "lease_until": Now(self.settings.duration_ms),
                "updated_at": Now(),
                "fence": Increment(1),
                "journal": Increment(1),
            }
            if (run := await tx.change(Run, {"id": run_id, "state": "queued"}, **claimed)) is not None:
                return run, True
            left: Where = {"id": run_id, "state": "running"}
            if (run := await tx.change(Run, {**left, "lease_until": RELEASED}, **claimed)) is not None:
                return run, False
            expired: Where = {**left, "lease_until": lt(await tx.now())}
            return await tx.change(Run, expired, restarts=Increment(1), **claimed), False

        claiming = asyncio.ensure_future(self.store.transaction(body))
        try:
            run, was_queued = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            await self._undo(claiming, sent)
            raise
        if run is None:
            return None
        lease = Lease(run, self.clock, self.settings.lease, sent, was_queued=was_queued)
        if run.stop_at is not None:
            lease.stop()
        return lease

    async def _undo(self, claiming: "asyncio.Future[tuple[Run | None, bool]]", sent: float) -> None:
        """Release the run that a cancelled claim may have got. Nobody would renew its lease."""
        try:
            run, _ = await claiming
        except StoreUnavailable as error:
            logger.warning(error.detail, extra={"action": "run.claim_failed"})
            return
        if run is not None:
            await self.release(Lease(run, self.clock, self.settings.lease, sent))

    async def renew_until_lost(self, lease: Lease) -> None:
        """Renew the lease until cancelled, halted or lost. An unavailable database is retried until the lease ends."""
        while not lease.halted.is_set():
            await self.clock.sleep(self.settings.lease / 5)
            if not lease.alive:
                logger.warning("lease ran out", extra={"action": "run.lease_lost", "run_id": lease.run_id})
                lease.lose()
                return
            try:
                await self._renew(lease)
            except StoreUnavailable as error:
                logger.warning(error.detail, extra={"action": "run.renewal_failed", "run_id": lease.run_id})

    async def release(self, lease: Lease) -> None:
        """Let other workers claim the run at once, when this process shuts down. The fence stays as it is.

        A run with a change in flight is not released before the change has ended: its result may still arrive here.
        """
        if lease.change_in_flight is not None:
            await asyncio.wait([lease.change_in_flight])
        owned: Where = {"id": lease.run_id, "fence": lease.fence, "state": "running"}
        try:
            await self.store.transaction(lambda tx: tx.change(Run, owned, lease_until=RELEASED), upkeep=True)
        except StoreUnavailable as error:
            logger.warning(error.detail, extra={"action": "run.release_failed", "run_id": lease.run_id})

    async def _renew(self, lease: Lease) -> None:
        sent = self.clock.monotonic()

        async def body(tx: Transaction) -> Run | None:
            # A renewal that waited for the database while the run was released must not take it back.
            held = gt(RELEASED)
            owned: Where = {"id": lease.run_id, "fence": lease.fence, "state": "running", "lease_until": held}
            return await tx.change(Run, owned, lease_until=Now(self.settings.duration_ms))

        run = await self.store.transaction(body, upkeep=True)
        if run is None:
            lease.lose()
            return
        lease.renewed(sent)
        if run.stop_at is not None:
            lease.stop()
