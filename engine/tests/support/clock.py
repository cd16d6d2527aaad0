"""A clock that stands still until a test moves it."""

import asyncio
import heapq
from itertools import count

__all__ = ["FakeClock", "settle"]


async def settle(rounds: int = 25) -> None:
    """Lets every task go on until it waits for something that only the test can bring."""
    for _ in range(rounds):
        await asyncio.sleep(0)


class FakeClock:
    """`Clock` for tests: `advance` moves it, waking whoever sleeps in the order of their times."""

    def __init__(self, start_ms: int = 1_700_000_000_000) -> None:
        self._start_ms = start_ms
        self._elapsed = 0.0
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._start_ms + round(self._elapsed * 1000)

    def boot(self) -> float:
        return self._elapsed

    async def sleep(self, seconds: float) -> None:
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed + seconds, next(self._order), waiter))
        await waiter

    async def advance(self, seconds: float) -> None:
        """Time passes; everything that is due in it has happened when this returns."""
        await settle()
        end = self._elapsed + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            self._elapsed, _, waiter = heapq.heappop(self._sleepers)
            if not waiter.done():
                waiter.set_result(None)
            await settle()
        self._elapsed = end
        await settle()
