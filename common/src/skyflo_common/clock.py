"""Time, behind an interface that tests can replace."""

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "SystemClock"]

_BOOT = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """The process's clock."""

    def now(self) -> int:
        """Return milliseconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds of a clock that never goes back and runs on during a suspend, for leases and deadlines."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """`Clock` of the system. `monotonic` counts through a suspend if the system can (Linux)."""

    def now(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.clock_gettime(_BOOT)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
