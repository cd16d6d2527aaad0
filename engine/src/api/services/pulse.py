"""What wakes those who wait for news of a run: the bus, and without it a look at the database (`protocol.md` 21)."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import chain, islice
from types import TracebackType
from typing import Self

from src.api.errors import StoreUnavailable
from src.api.ports import Bus, Clock, Reader, Ring, Signal, Store
from src.api.schemas.records import Run

__all__ = ["Pulse", "Watch"]

log = logging.getLogger(__name__)

POLL = 0.5
"""Seconds between two looks at all watched runs."""

VERSION_POLL = 0.1
"""The same where the store can say cheaply whether anything was committed; then a look follows only if it was."""

BATCH = 500
"""Runs in one SELECT."""

VERSION_BLIND = 2.0
"""A version does not move by what its own connection commits: seconds after which there is a look all the same."""

TICK = 0.25
"""How exact time-outs are, in seconds."""

News = tuple[str, int, int, int, int | None] | None
"""What of a run's row is news to those who watch it; None when the row is gone."""


class Watch:
    """What one listener has heard and not taken yet, at most `bound` signals; then one `Ring` stands for all lost."""

    def __init__(self, run_id: str, clock: Clock, *, rings_only: bool, bound: int = 1000) -> None:
        self._run_id = run_id
        self._clock = clock
        self._rings_only = rings_only
        self._bound = bound
        self._signals: list[Signal] = []
        self._waiter: asyncio.Future[None] | None = None
        self._due = 0.0
        self._reminded = False

    def hear(self, signal: Signal) -> None:
        if self._rings_only and not isinstance(signal, Ring):
            return
        if len(self._signals) >= self._bound:
            self._signals = [Ring(self._run_id)]
        self._signals.append(signal)
        self._wake()

    async def wait(self, seconds: float) -> list[Signal]:
        """What has been heard since the last call, oldest first; empty after so many seconds of silence."""
        if not self._signals:
            self._due = self._clock.boot() + seconds
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        signals, self._signals = self._signals, []
        return signals

    def remind(self) -> None:
        """Asks for a `Ring` when the database has next been read: what was heard could not be followed up."""
        self._reminded = True

    def look(self, *, news: bool) -> None:
        """The database has been read, with or without news of the run."""
        if news or self._reminded:
            self._reminded = False
            self.hear(Ring(self._run_id))

    def tick(self, now: float) -> None:
        """Ends a wait whose time is over. One ticker for all of them spares a timer each."""
        if now >= self._due:
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Pulse:
    """One background task per process, alive inside `async with`: polls for all watched runs and ends their waits.

    Losing the bus costs those who wait up to half a second, never news.
    """

    def __init__(self, store: Store, bus: Bus, clock: Clock) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._watches: defaultdict[str, list[Watch]] = defaultdict(list)
        self._news: dict[str, News] = {}
        self._watched = asyncio.Event()
        self._version: int | None = None
        self._next_look = 0.0
        self._failing = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._beat(), name="pulse")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @asynccontextmanager
    async def watch(self, run_id: str, *, rings_only: bool = True) -> AsyncIterator[Watch]:
        """News of the run from now on; with `rings_only=False` the deltas and notices of the bus too."""
        watch = Watch(run_id, self._clock, rings_only=rings_only)
        self._watches[run_id].append(watch)
        self._watched.set()
        try:
            async with self._bus.listen(run_id, watch.hear):
                yield watch
        finally:
            self._leave(run_id, watch)

    def _leave(self, run_id: str, watch: Watch) -> None:
        self._watches[run_id].remove(watch)
        if not self._watches[run_id]:
            del self._watches[run_id]
            self._news.pop(run_id, None)
        if not self._watches:
            self._watched.clear()

    async def _beat(self) -> None:
        # Apart from each other, so that a database that hangs holds up no time-out.
        await asyncio.gather(self._tick_forever(), self._poll_forever())

    async def _tick_forever(self) -> None:
        while True:
            await self._watched.wait()
            now = self._clock.boot()
            for watch in chain.from_iterable(self._watches.values()):
                watch.tick(now)
            await self._clock.sleep(TICK)

    async def _poll_forever(self) -> None:
        while True:
            await self._watched.wait()
            try:
                await self._poll()
            except StoreUnavailable as error:
                if not self._failing:
                    log.warning("Can't look for news of runs: %s", error, extra={"action": "pulse.store_unavailable"})
                self._failing = True
            else:
                self._failing = False
            await self._clock.sleep(POLL if self._version is None else VERSION_POLL)

    async def _poll(self) -> None:
        version = await self._store.version()
        now = self._clock.boot()
        if version is None or version != self._version or now >= self._next_look:
            await self._look()
            self._next_look = now + VERSION_BLIND
        self._version = version

    async def _look(self) -> None:
        watched = iter(list(self._watches))
        while batch := tuple(islice(watched, BATCH)):
            news = await self._read(batch)
            for run_id in batch:
                self._tell(run_id, news.get(run_id))

    async def _read(self, batch: tuple[str, ...]) -> dict[str, News]:
        async def body(reader: Reader) -> list[Run]:
            return await reader.find(Run, {"id": batch}, limit=len(batch))

        runs = await self._store.read(body)
        return {run.id: (run.state, run.fence, run.journal, run.rest, run.stop_at) for run in runs}

    def _tell(self, run_id: str, news: News) -> None:
        watches = self._watches.get(run_id, ())
        fresh = run_id not in self._news or self._news[run_id] != news
        if watches:
            self._news[run_id] = news
        for watch in watches:
            watch.look(news=fresh)
