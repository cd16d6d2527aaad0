"""Bound the runs that one process executes at the same time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["MAX_CONCURRENT_RUNS", "RunSlots"]

MAX_CONCURRENT_RUNS = 100


@dataclass(slots=True)
class RunSlots:
    """`MAX_CONCURRENT_RUNS` slots. `taken` is how many are in use, `free` how many a new run would find."""

    taken: int = 0
    _waiting: int = 0
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_RUNS))

    @property
    def free(self) -> int:
        return max(0, MAX_CONCURRENT_RUNS - self.taken - self._waiting)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Wait for a free slot, and hold it while the block is open."""
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1
            self._slots.release()
