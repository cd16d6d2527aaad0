"""Find runs that no process executes: for a worker that takes them, and for a health check that reports them."""

import logging
from dataclasses import dataclass, field

from src.api.errors import Unavailable
from src.api.ports import Clock, QueuedRun, Reader, Store
from src.api.schemas.query import Where, le, lt
from src.api.schemas.records import Run
from src.api.services.background import run_periodically
from src.api.services.runs.leases import RELEASED
from src.api.services.runs.worker import Worker

__all__ = ["Backlog", "QueuePoll", "read_backlog"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
UNCLAIMED_AFTER_MS = 5_000
"""A run that waits longer than this for a worker, in ms, counts as backlog."""

MAX_COUNTED = 1_000


@dataclass(slots=True)
class QueuePoll:
    """Look for queued and released runs of other processes every `POLL_SECONDS`.

    Offers on the bus reach a worker sooner; this poll finds what was offered while the bus was down, and what the
    worker had no free slot for.
    """

    store: Store
    worker: Worker
    clock: Clock
    _failing: bool = field(init=False, default=False)

    async def run_forever(self) -> None:
        await run_periodically(self.once, self.clock, lambda: POLL_SECONDS, self._log_failure)

    async def once(self) -> None:
        if not (free := self.worker.slots.free):
            return

        async def body(reader: Reader) -> list[Run]:
            queued = await reader.find(Run, {"state": "queued"}, "updated_at", free)
            released: Where = {"state": "running", "lease_until": RELEASED}
            return queued + await reader.find(Run, released, "updated_at", free)

        for run in await self.store.read(body):
            self.worker.take_offer(QueuedRun(run.id))
        self._failing = False

    def _log_failure(self, error: Unavailable) -> None:
        """Log the first failure of an outage only."""
        if not self._failing:
            logger.warning("Can't look for queued runs: %s", error, extra={"action": "queue.store_unavailable"})
        self._failing = True


@dataclass(frozen=True, slots=True)
class Backlog:
    """Runs that have waited too long for a worker: `count` of them, the oldest for `seconds`."""

    count: int
    seconds: float


async def read_backlog(store: Store, clock: Clock, lost_after_ms: int) -> Backlog | None:
    """Return the backlog by the clock of this process, or None.

    A lease that ended more than `lost_after_ms` ago has found no new owner.
    """
    now = clock.now()

    async def body(reader: Reader) -> Backlog | None:
        queued: Where = {"state": "queued", "updated_at": le(now - UNCLAIMED_AFTER_MS)}
        lost: Where = {"state": "running", "lease_until": lt(now - lost_after_ms)}
        found = await reader.find(Run, queued, "updated_at", MAX_COUNTED)
        found += await reader.find(Run, lost, "updated_at", MAX_COUNTED)
        oldest = min((run.updated_at for run in found), default=now)
        return Backlog(len(found), (now - oldest) / 1000) if found else None

    return await store.read(body)
