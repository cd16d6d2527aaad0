"""A clock that advances only when the test moves it."""

import asyncio
import heapq
from itertools import count

__all__ = ["FakeClock", "run_pending_tasks"]


async def run_pending_tasks(rounds: int = 25) -> None:
    """Let every task run until it waits for something that only the test can provide."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class FakeClock:
    """A `Clock` for tests. `advance` moves the time and wakes sleeping tasks in the order of their deadlines."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = start_ms
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._start_ms + round(self._elapsed * 1000)

    def monotonic(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Advance the time. Everything due within it has run when this returns."""
        await run_pending_tasks()
        end = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._elapsed, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                waiter.set_result(None)
            await run_pending_tasks()
        self._elapsed = end
        await run_pending_tasks()
