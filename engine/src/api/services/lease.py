"""A worker's lease on a run, shared by the services that act for it (`protocol.md` 7)."""

import asyncio

from src.api.errors import RunFenced, RunStopped
from src.api.ports import Clock
from src.api.schemas.records import Run

__all__ = ["Lease"]


class Lease:
    """A worker's lease on one run, valid for two thirds of the lease time since the last renewal was sent.

    `run` is the row as it was claimed; `was_queued` says that it was claimed from the queue, not from a worker that had
    left it. `halted` is set when the run must not go on in this process; `stopped` says whether a stop request is the
    reason. `change_in_flight` is the task that executes a change of the run here; `title_requested` is true once a
    title was asked for.
    """

    def __init__(self, run: Run, clock: Clock, seconds: float, sent: float, *, was_queued: bool = False) -> None:
        self.run = run
        self.was_queued = was_queued
        self.run_id = run.id
        self.conversation_id = run.conversation_id
        self.user_id = run.user_id
        self.fence = run.fence
        self.halted = asyncio.Event()
        self.stopped = False
        self.change_in_flight: asyncio.Task[None] | None = None
        self.title_requested = False
        self._clock = clock
        self._seconds = seconds
        self._sent = sent

    @property
    def alive(self) -> bool:
        return self._clock.monotonic() - self._sent < self._seconds * 2 / 3

    def renewed(self, sent: float) -> None:
        """Extend the lease after a successful renewal that was sent at `sent` (`Clock.monotonic`)."""
        self._sent = max(self._sent, sent)

    def stop(self) -> None:
        """Halt the run because of a stop request."""
        self.stopped = True
        self.halted.set()

    def lose(self) -> None:
        """Halt the run because another worker owns it, or may own it soon."""
        self.halted.set()

    def check(self) -> None:
        """Raise `RunStopped` or `RunFenced` if this process may not start anything new for the run."""
        if not self.alive:
            raise RunFenced("The lease could not be renewed in time.")
        if self.stopped:
            raise RunStopped("A stop was requested.")
        if self.halted.is_set():
            raise RunFenced("Another worker owns this run now.")
