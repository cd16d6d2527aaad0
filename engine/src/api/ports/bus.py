"""Notifications between processes and the live buffer of token deltas; losing them costs latency, never data."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from src.api.schemas.records import Tail

__all__ = ["Bus", "Delta", "EphemeralEvent", "QueuedRun", "RunChanged", "Signal"]


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a streaming text: characters `start` to `end` after journal event `n`."""

    run_id: str
    generation_id: str
    kind: Literal["token", "thinking"]
    n: int
    start: int
    end: int
    text: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class EphemeralEvent:
    """An event without a number and without replay, such as `ttft` or `tool.progress`. `body` is the event."""

    run_id: str
    body: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Addition:
    """What one transaction added to a run: the events after journal number `after`, and the run as it was left."""

    after: int
    tail: Tail


@dataclass(frozen=True, slots=True)
class RunChanged:
    """A change of the run was committed: read the database.

    What the transaction knows saves reads. `unstopped_fence` is the fence under which it left the run without a stop
    request; None says nothing. Without `has_events` it wrote no event and the run does not rest: there is nothing new
    to stream. Listeners of the process that committed may get what it added; it is sent to no other process.
    """

    run_id: str
    unstopped_fence: int | None = None
    has_events: bool = True
    addition: Addition | None = field(default=None, compare=False, repr=False)

    def without_addition(self) -> "RunChanged":
        return self if self.addition is None else replace(self, addition=None)


Signal = RunChanged | Delta | EphemeralEvent


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that any worker may claim now. `trace_parent` continues the trace of the request that queued it."""

    run_id: str
    trace_parent: str = ""


class Bus(Protocol):
    def notify(self, change: RunChanged) -> None:
        """Announce a change without blocking or failing. A lost signal only costs latency (`protocol.md` 21)."""

    async def publish(self, signal: Delta | EphemeralEvent) -> None:
        """Append a delta to the live buffer and publish it, unless it is not above the buffer's last one."""

    def listen(self, run_id: str, on_signal: Callable[[Signal], None]) -> AbstractAsyncContextManager[None]:
        """Call `on_signal` with every signal from now on; it must return at once and bound what it queues.

        A `RunChanged` also stands for signals that may have been lost, for example after a broken connection. See
        `services/streaming/watcher.py`.
        """

    def listen_to_changes(self, on_change: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Call `on_change` whenever any run may have changed. Like `notify`, it only saves the wait for a poll."""

    def offer(self, run: QueuedRun) -> None:
        """Offer a run to the workers of other processes, without blocking or failing.

        A lost offer only costs latency: their polls and sweeps find the run in the database.
        """

    def listen_to_offers(self, on_offer: Callable[[QueuedRun], None]) -> AbstractAsyncContextManager[None]:
        """Call `on_offer` with each run that another process offers; it must return at once."""

    async def buffered(self, run_id: str, n: int, end: int) -> list[Delta]:
        """Return the deltas in the live buffer above (n, end), in order; none if the bus does not answer."""

    async def check(self) -> None:
        """Raise `BusUnavailable` if the bus does not answer."""
