"""What is to be looked at, now and later."""

import heapq
from dataclasses import dataclass
from itertools import count

from skyflo_sandbox.clock import Clock

__all__ = ["SLACK", "Agenda", "Task"]

SLACK = 1e-6
"""A time that is nearer than this has come: sums of seconds are not exact."""

SHORTEST = 0.001
"""So that time goes on, whatever is asked for."""


@dataclass(frozen=True)
class Task:
    """One object that one controller has to look at."""

    controller: str
    namespace: str
    name: str


class Agenda:
    """Tasks in the order in which they became due. A task is there once, however often it is asked for."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._now: dict[Task, None] = {}
        self._times: dict[Task, float] = {}
        self._later: list[tuple[float, int, Task]] = []
        self._order = count()

    def soon(self, task: Task) -> None:
        self._now[task] = None

    def later(self, task: Task, seconds: float) -> None:
        """Not later than in so many seconds; an earlier time that was asked for stays."""
        at = self._clock.monotonic() + max(seconds, SHORTEST)
        if at < self._times.get(task, float("inf")):
            self._times[task] = at
            heapq.heappush(self._later, (at, next(self._order), task))

    def pop(self) -> Task | None:
        """The next task that is due, if any."""
        self._collect()
        if not self._now:
            return None
        task = next(iter(self._now))
        del self._now[task]
        return task

    def wait(self) -> float | None:
        """Seconds until a task is due; None while there is none at all."""
        self._collect()
        if self._now:
            return 0.0
        return max(self._later[0][0] - self._clock.monotonic(), 0.0) if self._later else None

    def _collect(self) -> None:
        """Moves what has become due, and drops times that an earlier one has replaced."""
        now = self._clock.monotonic() + SLACK
        while self._later and (self._later[0][0] <= now or self._stale(self._later[0])):
            entry = heapq.heappop(self._later)
            if not self._stale(entry):
                del self._times[entry[2]]
                self._now[entry[2]] = None

    def _stale(self, entry: tuple[float, int, Task]) -> bool:
        return self._times.get(entry[2]) != entry[0]
