"""Owning a run: claim, renewal, and giving up by oneself before anybody else may take over (`protocol.md` 7)."""

import asyncio
import logging
from dataclasses import dataclass

from src.api.errors import RunFenced, RunStopped, StoreUnavailable
from src.api.ports import Clock, Store, Transaction
from src.api.schemas.query import Assign, Plus, Where, below
from src.api.schemas.records import Run

__all__ = ["Lease", "Leases"]

logger = logging.getLogger(__name__)

RELEASED = 0
"""`lease_until` of a run whose owner left it to others."""


class Lease:
    """One worker's hold on one run. Valid for two thirds of the lease since the last renewal was sent.

    `run` is the row as it was claimed. `halted` is set when the run must not go on here, with `stopped` telling whether
    because of Stop. `carrying` is true while a change of it is on its way from here, `naming` as soon as a title was
    asked for.
    """

    def __init__(self, run: Run, clock: Clock, seconds: float, sent: float) -> None:
        self.run = run
        self.run_id = run.id
        self.conversation_id = run.conversation_id
        self.user_id = run.user_id
        self.fence = run.fence
        self.halted = asyncio.Event()
        self.stopped = False
        self.carrying = False
        self.naming = False
        self._clock = clock
        self._seconds = seconds
        self._sent = sent

    @property
    def alive(self) -> bool:
        return self._clock.boot() - self._sent < self._seconds * 2 / 3

    def renewed(self, sent: float) -> None:
        self._sent = max(self._sent, sent)

    def stop(self) -> None:
        """Stop was asked for."""
        self.stopped = True
        self.halted.set()

    def lose(self) -> None:
        """The run is another's, or may be soon."""
        self.halted.set()

    def check(self) -> None:
        """Raises `RunStopped` or `RunFenced` where nothing new may start any more."""
        if not self.alive:
            raise RunFenced("The lease could not be renewed in time.")
        if self.stopped:
            raise RunStopped("Stop was asked for.")
        if self.halted.is_set():
            raise RunFenced("Another worker owns this run by now.")


@dataclass(frozen=True, slots=True)
class LeaseTimes:
    """`lease` in seconds; renewal every fifth of it."""

    lease: float = 15
    max_restarts: int = 3

    @property
    def ms(self) -> int:
        return int(self.lease * 1000)


class Leases:
    """Claims runs for this process, named by `owner` in the rows."""

    def __init__(self, store: Store, clock: Clock, owner: str, times: LeaseTimes) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self.times = times

    async def claim(self, run_id: str) -> Lease | None:
        """The lease of a queued run, or of one whose owner's lease is over; None if it is neither by now.

        Only an owner that died counts as a restart, not one that went down in good order.
        """
        sent = self._clock.boot()

        async def body(tx: Transaction) -> Run | None:
            now = await tx.now()
            mine: dict[str, Assign] = {"owner": self._owner, "lease_until": now + self.times.ms, "touched_at": now}
            mine |= {"state": "running", "fence": Plus(1), "journal": Plus(1)}
            dead: Where = {"id": run_id, "state": "running", "lease_until": below(now)}
            return (
                await tx.change(Run, {"id": run_id, "state": "queued"}, **mine)
                or await tx.change(Run, {"id": run_id, "state": "running", "lease_until": RELEASED}, **mine)
                or await tx.change(Run, dead, restarts=Plus(1), **mine)
            )

        run = await self._store.transaction(body)
        if run is None:
            return None
        lease = Lease(run, self._clock, self.times.lease, sent)
        if run.stop_at is not None:
            lease.stop()
        return lease

    async def keep(self, lease: Lease) -> None:
        """Renews until cancelled or lost. A database that does not answer is tried again until the lease is over."""
        while not lease.halted.is_set():
            await self._clock.sleep(self.times.lease / 5)
            if not lease.alive:
                logger.warning("lease ran out", extra={"action": "run.lease_lost", "run_id": lease.run_id})
                lease.lose()
                return
            try:
                await self._renew(lease)
            except StoreUnavailable as error:
                logger.warning(error.detail, extra={"action": "run.renewal_failed", "run_id": lease.run_id})

    async def release(self, lease: Lease) -> None:
        """Lets others take the run at once, when this process goes down in good order. Its fence stays the last one."""
        if lease.carrying:
            return
        guard: Where = {"id": lease.run_id, "fence": lease.fence, "state": "running"}
        try:
            await self._store.transaction(lambda tx: tx.change(Run, guard, lease_until=RELEASED), upkeep=True)
        except StoreUnavailable as error:
            logger.warning(error.detail, extra={"action": "run.release_failed", "run_id": lease.run_id})

    async def _renew(self, lease: Lease) -> None:
        sent = self._clock.boot()

        async def body(tx: Transaction) -> Run | None:
            until = await tx.now() + self.times.ms
            guard: Where = {"id": lease.run_id, "fence": lease.fence, "state": "running"}
            return await tx.change(Run, guard, lease_until=until)

        run = await self._store.transaction(body, upkeep=True)
        if run is None:
            lease.lose()
            return
        lease.renewed(sent)
        if run.stop_at is not None:
            lease.stop()
