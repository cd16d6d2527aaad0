"""Measure how late the event loop runs its timers."""

import asyncio
from collections.abc import Callable

__all__ = ["LoopLagSampler"]

INTERVAL = 1.0
"""Seconds between two samples."""


class LoopLagSampler:
    """Set a timer once a second while the block is open, and report how late it ran, in seconds."""

    def __init__(self, report: Callable[[float], None]) -> None:
        self._report = report
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._set_timer()

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(loop.time() + INTERVAL, self._sample, loop.time() + INTERVAL)

    def _sample(self, due: float) -> None:
        self._report(max(0.0, asyncio.get_running_loop().time() - due))
        self._set_timer()
