"""Work queue of the controllers, with delays."""

import heapq
from dataclasses import dataclass
from itertools import count

from skyflo_sandbox.clock import Clock

__all__ = ["TOLERANCE_SECONDS", "WorkItem", "WorkQueue"]

TOLERANCE_SECONDS = 1e-6
"""Items due within this time count as due, because sums of floating-point seconds are inexact."""

MIN_DELAY_SECONDS = 0.001
"""Minimum delay, so that simulated time always advances."""


@dataclass(frozen=True)
class WorkItem:
    """An object that a controller has to reconcile."""

    controller: str
    namespace: str
    name: str


class WorkQueue:
    """Items in the order in which they became due. Adding an item that is queued has no effect."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[WorkItem, None] = {}
        self._due_times: dict[WorkItem, float] = {}
        self._delayed: list[tuple[float, int, WorkItem]] = []
        self._order = count()

    def add(self, item: WorkItem) -> None:
        self._due[item] = None

    def add_after(self, item: WorkItem, seconds: float) -> None:
        """Add an item with a delay in seconds; an earlier due time is kept."""
        at = self._clock.monotonic() + max(seconds, MIN_DELAY_SECONDS)
        if at < self._due_times.get(item, float("inf")):
            self._due_times[item] = at
            heapq.heappush(self._delayed, (at, next(self._order), item))

    def pop(self) -> WorkItem | None:
        """Remove and return the next due item; None if no item is due."""
        self._move_due()
        if not self._due:
            return None
        item = next(iter(self._due))
        del self._due[item]
        return item

    def seconds_until_due(self) -> float | None:
        """Return the seconds until an item is due; None if the queue is empty."""
        self._move_due()
        if self._due:
            return 0.0
        return max(self._delayed[0][0] - self._clock.monotonic(), 0.0) if self._delayed else None

    def _move_due(self) -> None:
        """Move due items to the ready list, and drop entries that an earlier time has replaced."""
        now = self._clock.monotonic() + TOLERANCE_SECONDS
        while self._delayed and (self._delayed[0][0] <= now or self._is_stale(self._delayed[0])):
            entry = heapq.heappop(self._delayed)
            if not self._is_stale(entry):
                del self._due_times[entry[2]]
                self._due[entry[2]] = None

    def _is_stale(self, entry: tuple[float, int, WorkItem]) -> bool:
        return self._due_times.get(entry[2]) != entry[0]
