"""Read what a scrape reports about the database, at most once in some seconds, however often it is asked for."""

import asyncio
import logging
from dataclasses import dataclass, field

from src.api.errors import EngineError
from src.api.ports import Clock, Reader, Store
from src.api.schemas.metrics import SharedState
from src.api.schemas.query import gt
from src.api.schemas.records import Approval, Execution, Run
from src.api.schemas.states import NOT_ENDED

__all__ = ["SharedStateReader"]

logger = logging.getLogger(__name__)

MAX_AGE = 5.0
"""Seconds for which an answer, or a failure, is used again."""

DEADLINE = 3.0
"""Seconds after which the database counts as not readable."""


@dataclass(slots=True)
class SharedStateReader:
    """Read the shared state with statements on indexes. Concurrent callers share one read."""

    store: Store
    clock: Clock
    _lock: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _read_at: float | None = field(init=False, default=None)
    _state: SharedState | None = field(init=False, default=None)

    async def read(self) -> SharedState | None:
        """Return the state, up to `MAX_AGE` seconds old; None if the database can't be read in time."""
        async with self._lock:
            if self._read_at is None or self.clock.monotonic() - self._read_at >= MAX_AGE:
                self._state = await self._read_database()
                self._read_at = self.clock.monotonic()
            return self._state

    async def _read_database(self) -> SharedState | None:
        try:
            async with asyncio.timeout(DEADLINE):
                return await self.store.read(self._body)
        except (EngineError, TimeoutError) as error:
            reason = str(error) or f"no answer within {DEADLINE:g} s"
            logger.info("A scrape gets no shared values: %s", reason, extra={"action": "metrics.unavailable"})
            return None

    async def _body(self, reader: Reader) -> SharedState:
        now = self.clock.now()
        runs = {str(row.by[0]): row.count for row in await reader.aggregate(Run, ["state"], {"state": NOT_ENDED})}
        waiting = await reader.aggregate(Approval, ["status"], {"status": "pending", "approve_by": gt(now)})
        oldest = await reader.find(
            Approval, {"status": "pending", "approve_by": gt(now)}, order="created_at,id", limit=1
        )
        unknown = await reader.aggregate(Execution, ["state"], {"state": "unknown"})
        return SharedState(
            runs={state: runs.get(state, 0) for state in NOT_ENDED},
            approvals=sum(row.count for row in waiting),
            oldest_approval_seconds=max(0.0, (now - oldest[0].created_at) / 1000) if oldest else 0.0,
            unknown_changes=sum(row.count for row in unknown),
        )
