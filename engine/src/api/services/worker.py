"""Walks runs: claims one, keeps its lease, heeds Stop, and lets the graph do the rest."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from src.api.errors import EngineError, RunFenced, StoreUnavailable
from src.api.ports import Store
from src.api.schemas.records import Run
from src.api.services.endings import Ending, Endings
from src.api.services.heeding import heed
from src.api.services.leases import Lease, Leases
from src.api.services.pulse import Pulse
from src.api.services.tasks import Tasks

__all__ = ["Leg", "Recover", "Worker"]

logger = logging.getLogger(__name__)

MAX_LEGS = 100
_LOST = "The engine failed while it worked on this. What was done stands above; ask again to go on."
_TOO_OFTEN = "This run was taken up again too often after the engine died while working on it, so it was given up."

Leg = Callable[[Lease, Run], Awaitable[None]]
"""Walks the graph for a claimed run until the run rests, ends, or is another's."""

Recover = Callable[[Lease], Awaitable[None]]
"""Finds out what became of the changes that a dead owner of the run had started."""


class Worker:
    """One per process. `wake` may be called by anyone, for any run, any number of times: the claim decides."""

    def __init__(
        self,
        store: Store,
        leases: Leases,
        endings: Endings,
        pulse: Pulse,
        tasks: Tasks,
        recover: Recover,
        leg: Leg,
    ) -> None:
        self._store = store
        self._recover = recover
        self._leases = leases
        self._endings = endings
        self._pulse = pulse
        self._tasks = tasks
        self._leg = leg
        self._room = asyncio.Semaphore(MAX_LEGS)
        self._lined_up: set[str] = set()

    def wake(self, run_id: str) -> None:
        """Claims the run and walks it, in the background."""
        if run_id not in self._lined_up:
            self._lined_up.add(run_id)
            _ = self._tasks.spawn(self._work(run_id), name=f"run {run_id}")

    async def _work(self, run_id: str) -> None:
        async with self._room:
            self._lined_up.discard(run_id)
            try:
                await self._walk(run_id)
            except EngineError as error:
                logger.warning(error.detail, extra={"action": "run.left", "run_id": run_id, "code": error.code})

    async def _walk(self, run_id: str) -> None:
        lease = await self._leases.claim(run_id)
        if lease is None:
            return
        keeping = asyncio.ensure_future(self._leases.keep(lease))
        heeding = asyncio.ensure_future(heed(self._store, self._pulse, lease))
        try:
            await self._guarded(lease, lease.run)
        except asyncio.CancelledError:
            await self._leases.release(lease)
            raise
        finally:
            keeping.cancel()
            heeding.cancel()
            await asyncio.gather(keeping, heeding, return_exceptions=True)

    async def _guarded(self, lease: Lease, run: Run) -> None:
        try:
            if lease.fence > 1:  # the first owner has no dead one before it
                await self._recover(lease)
            if run.restarts > self._leases.times.max_restarts:
                await self._give_up(lease, _TOO_OFTEN, "restart_budget")
            else:
                await self._leg(lease, run)
        except (RunFenced, StoreUnavailable) as error:
            # Another's by now, or nothing can be written: the sweep takes it up when its lease is over.
            logger.warning(error.detail, extra={"action": "run.left", "run_id": run.id, "code": error.code})
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "run.failed", "run_id": run.id, "code": error.code})
            await self._give_up(lease, error.detail, error.code)
        except Exception:
            # The worker's own boundary: whatever broke, the run must not hang, and its person must hear of it.
            logger.exception("run failed", extra={"action": "run.failed", "run_id": run.id})
            await self._give_up(lease, _LOST, "internal")

    async def _give_up(self, lease: Lease, error: str, code: str) -> None:
        following = await self._endings.end_owned(lease, Ending("failed", error=error, code=code))
        if following is not None:
            self.wake(following)
