"""Signal changes of runs to their subscribers: from the bus, and by polling the database (`protocol.md` 21)."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, islice
from typing import NamedTuple

from src.api.errors import Unavailable
from src.api.ports import Bus, Clock, Reader, RunChanged, Signal, Store
from src.api.schemas.records import Run
from src.api.services.background import BackgroundLoop, run_periodically

__all__ = ["RunSubscription", "RunWatcher"]

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.5
"""Seconds between two reads of all watched runs."""

VERSION_POLL_INTERVAL = 0.1
"""Seconds between two polls of a store that has a version; the runs are read only if it has moved."""

MAX_VERSION_AGE = 2.0
"""Seconds after which the runs are read even if the version has not moved.

The version does not move for commits of the connection that reads it.
"""

BATCH = 500
"""Runs in one SELECT."""

MAX_ADDED = 200_000
"""Characters of events that wait for one subscriber."""

TICK_INTERVAL = 0.25
"""Precision of wait timeouts, in seconds."""


class RunVersion(NamedTuple):
    """The columns of a run whose change is signalled."""

    state: str
    fence: int
    journal: int
    rest_seq: int
    stop_at: int | None


class RunSubscription:
    """Buffer one subscriber's signals until it takes them.

    At most `bound` signals are kept; on overflow a single `RunChanged` replaces them. They keep up to `MAX_ADDED`
    characters of events and leave the rest to the database. With `changes_only`, only `RunChanged` is kept, and none
    of its events.
    """

    def __init__(self, run_id: str, clock: Clock, *, changes_only: bool, bound: int = 1000) -> None:
        self._run_id = run_id
        self._clock = clock
        self._changes_only = changes_only
        self._bound = bound
        self._signals: list[Signal] = []
        self._added = 0
        self._waiter: asyncio.Future[None] | None = None
        self._wait_until = 0.0
        self._signal_requested = False

    def on_signal(self, signal: Signal) -> None:
        if isinstance(signal, RunChanged):
            signal = self._bound_addition(signal)
        elif self._changes_only:
            return
        if len(self._signals) >= self._bound:
            self._signals = [RunChanged(self._run_id)]
        self._signals.append(signal)
        self._wake()

    async def wait(self, seconds: float) -> list[Signal]:
        """Return the signals since the last call, oldest first; an empty list after `seconds` without any."""
        if not self._signals:
            self._wait_until = self._clock.monotonic() + seconds
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        signals, self._signals = self._signals, []
        self._added = 0
        return signals

    def _bound_addition(self, change: RunChanged) -> RunChanged:
        if change.addition is None:
            return change
        self._added += sum(len(event.body) for event in change.addition.tail.events)
        return change.without_addition() if self._changes_only or self._added > MAX_ADDED else change

    def request_signal(self) -> None:
        """Ask for a `RunChanged` after the next successful read of the run, whether or not it has changed by then."""
        self._signal_requested = True

    def on_database_read(self, unstopped_fence: int | None, *, changed: bool) -> None:
        """Record that the database was read, and signal if the run changed or a signal was requested.

        `unstopped_fence` is the run's fence if no stop was requested.
        """
        if changed or self._signal_requested:
            self._signal_requested = False
            self.on_signal(RunChanged(self._run_id, unstopped_fence))

    def end_expired_wait(self, now: float) -> None:
        """End a wait that has timed out. One shared ticker replaces a timer per subscription."""
        if now >= self._wait_until:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class RunWatcher(BackgroundLoop):
    """Poll all watched runs in one background task per process, alive inside `async with`, and end expired waits.

    Without the bus, subscribers learn of a change up to half a second later, and miss none.
    """

    task_name = "run watcher"

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._watches: defaultdict[str, list[RunSubscription]] = defaultdict(list)
        self._run_versions: dict[str, RunVersion | None] = {}
        self._has_watches = asyncio.Event()
        self._store_version: int | None = None
        self._next_read = 0.0
        self._failing = False

    @asynccontextmanager
    async def watch(self, run_id: str, *, changes_only: bool = True) -> AsyncIterator[RunSubscription]:
        """Subscribe to changes of the run; with `changes_only=False` also to the bus's deltas and ephemeral events.

        The next poll reads the run in any case.
        """
        subscription = RunSubscription(run_id, self._clock, changes_only=changes_only)
        self._watches[run_id].append(subscription)
        self._has_watches.set()
        self._next_read = 0.0
        try:
            async with self._bus.listen(run_id, subscription.on_signal):
                yield subscription
        finally:
            self._unsubscribe(run_id, subscription)

    def _unsubscribe(self, run_id: str, subscription: RunSubscription) -> None:
        self._watches[run_id].remove(subscription)
        if not self._watches[run_id]:
            del self._watches[run_id]
            self._run_versions.pop(run_id, None)
        if not self._watches:
            self._has_watches.clear()

    async def _loop(self) -> None:
        # Two loops, so that a hanging database delays no timeout.
        await asyncio.gather(self._tick_forever(), self._poll_forever())

    async def _tick_forever(self) -> None:
        while True:
            await self._has_watches.wait()
            now = self._clock.monotonic()
            for subscription in chain.from_iterable(self._watches.values()):
                subscription.end_expired_wait(now)
            await self._clock.sleep(TICK_INTERVAL)

    async def _poll_forever(self) -> None:
        def interval() -> float:
            return POLL_INTERVAL if self._store_version is None else VERSION_POLL_INTERVAL

        await run_periodically(self._poll, self._clock, interval, self._log_failure, enabled=self._has_watches)

    def _log_failure(self, error: Unavailable) -> None:
        """Log the first failure of an outage only."""
        if not self._failing:
            logger.warning("Can't poll watched runs: %s", error, extra={"action": "run_watcher.store_unavailable"})
        self._failing = True

    async def _poll(self) -> None:
        version = await self._store.version()
        now = self._clock.monotonic()
        if version is None or version != self._store_version or now >= self._next_read:
            await self._read_all()
            self._next_read = now + MAX_VERSION_AGE
        self._store_version = version
        self._failing = False

    async def _read_all(self) -> None:
        watched = iter(list(self._watches))
        while batch := tuple(islice(watched, BATCH)):
            versions = await self._read_versions(batch)
            for run_id in batch:
                self._signal_change(run_id, versions.get(run_id))

    async def _read_versions(self, batch: tuple[str, ...]) -> dict[str, RunVersion]:
        async def body(reader: Reader) -> list[Run]:
            return await reader.find(Run, {"id": batch}, limit=len(batch))

        runs = await self._store.read(body)
        return {run.id: RunVersion(run.state, run.fence, run.journal, run.rest_seq, run.stop_at) for run in runs}

    def _signal_change(self, run_id: str, version: RunVersion | None) -> None:
        """Signal a change to the run's subscribers; without a version its row is gone."""
        subscriptions = self._watches.get(run_id, ())
        changed = run_id not in self._run_versions or self._run_versions[run_id] != version
        if subscriptions:
            self._run_versions[run_id] = version
        unstopped_fence = None if version is None or version.stop_at is not None else version.fence
        for subscription in subscriptions:
            subscription.on_database_read(unstopped_fence, changed=changed)
