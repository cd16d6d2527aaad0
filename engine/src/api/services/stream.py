"""A stream: a view of a run's events that any number of clients may open, leave and come back to.

Journal events come from the database only, deltas from the bus and its live buffer; `splice.py` joins the two. A stream
without a terminal event has not ended: its client comes back with the id of the last event that it got.
"""

import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

import orjson

from src.api.errors import BadRequest, NotFound, StoreUnavailable
from src.api.ports import Bus, Clock, Delta, Notice, Reader, Ring, Signal, Store
from src.api.schemas.records import Tail
from src.api.schemas.sse import RETRY, StreamItem, encode
from src.api.schemas.states import RESTING
from src.api.services.pulse import Pulse, Watch
from src.api.services.splice import Splice

__all__ = ["Streams", "position"]

log = logging.getLogger(__name__)

PAGE = 500
"""Journal events read at once."""

HEARTBEAT = 15.0
"""Seconds of silence after which a stream says that it is alive."""


def position(run_id: str, event_id: str) -> int:
    """The `seq` in the id of an event, `<run_id>:<seq>`. Raises `BadRequest` unless it is one of this run's."""
    owner, _, number = event_id.rpartition(":")
    if owner != run_id or not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise BadRequest("Last-Event-ID must be the id of an event of this run. Leave it out to begin anew.")
    return int(number)


class Streams:
    """Opens streams of runs. `heartbeat` is in seconds."""

    def __init__(self, store: Store, bus: Bus, pulse: Pulse, clock: Clock, *, heartbeat: float = HEARTBEAT) -> None:
        self._store = store
        self._bus = bus
        self._pulse = pulse
        self._clock = clock
        self._heartbeat = heartbeat

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[StreamItem]:
        """`ready`, then the events with a `seq` above `after`, then live until the run rests.

        Taking the first item raises `NotFound` for an unknown run, `BadRequest` for a number that the run has not
        reached, `StoreUnavailable`. Later on the stream waits for the database to come back.
        """
        async with aclosing(self._batches(run_id, after)) as batches:
            async for batch in batches:
                for item in batch:
                    yield item

    async def frames(self, run_id: str, after: int = 0) -> AsyncGenerator[bytes]:
        """The same, encoded as server-sent events; what is ready at one moment comes as one piece."""
        start = RETRY
        async with aclosing(self._batches(run_id, after)) as batches:
            async for batch in batches:
                yield start + encode(batch)
                start = b""

    async def _batches(self, run_id: str, after: int) -> AsyncGenerator[list[StreamItem]]:
        # While nobody takes the next batch, the watch keeps a bounded number of signals, then only that some were lost.
        async with self._pulse.watch(run_id, rings_only=False) as watch:
            follower = _Follower(self._store, self._bus, watch, run_id, after)
            items = await follower.begin(self._clock.now())
            sent = self._clock.boot()
            while True:
                if items:
                    yield items
                    sent = self._clock.boot()
                if follower.ended:
                    return
                due = sent + self._heartbeat
                signals = [Ring(run_id)] if follower.more else await watch.wait(due - self._clock.boot())
                items = await follower.take(signals)
                if not items and self._clock.boot() >= due:
                    items = [follower.own("heartbeat", self._clock.now())]


class _Follower:
    """One reader's way through a run. `more`: the database has more than was read at once."""

    def __init__(self, store: Store, bus: Bus, watch: Watch, run_id: str, after: int) -> None:
        self._store = store
        self._bus = bus
        self._watch = watch
        self._splice = Splice(run_id, "", after)
        self._held: tuple[int, int] | None = None
        self.more = False
        self.ended = False

    async def begin(self, now: int) -> list[StreamItem]:
        tail = await self._tail()
        if tail is None:
            raise NotFound("There is no such run.")
        if self._splice.n > tail.journal:
            raise BadRequest("The run has no event with this number yet. Start again without it.")
        self._splice.conversation_id = tail.conversation_id
        return [self.own("ready", now), *await self._merge(tail)]

    async def take(self, signals: Sequence[Signal]) -> list[StreamItem]:
        """What the signals bring that is new to the reader. A look runs ahead of them, and may bring the run's end."""
        early: list[StreamItem] = []
        items: list[StreamItem] = []
        looked = False
        for signal in signals:
            if isinstance(signal, Notice):
                notice = self._notice(signal)
                if notice.type == "ttft":
                    early.append(notice)
                elif not self.ended:
                    items.append(notice)
            elif not looked and self._calls_for_a_look(signal):
                looked = True
                items += await self._look()
            if isinstance(signal, Delta):
                items += self._delta(signal)
        return early + items

    def own(self, kind: str, now: int) -> StreamItem:
        """An event of the stream itself."""
        return StreamItem(self._splice.run_id, self._splice.conversation_id, kind, f'{{"type":"{kind}"}}', now)

    def _calls_for_a_look(self, signal: Signal) -> bool:
        if isinstance(signal, Delta):
            return not self._splice.fits(signal) and self._held != (self._splice.n, self._splice.end)
        return isinstance(signal, Ring)

    def _delta(self, delta: Delta) -> list[StreamItem]:
        if not self._splice.fits(delta):
            # Neither database nor buffer has what is missing: the finished text will bring it.
            self._held = (self._splice.n, self._splice.end)
        return self._splice.delta(delta)

    async def _look(self) -> list[StreamItem]:
        try:
            tail = await self._tail()
        except StoreUnavailable as error:
            log.info("A stream waits for the database: %s", error, extra={"action": "stream.store_unavailable"})
            self._watch.remind()
            return []
        if tail is None:
            self.ended = True
            return []
        return await self._merge(tail)

    async def _merge(self, tail: Tail) -> list[StreamItem]:
        buffered = await self._bus.buffered(self._splice.run_id, self._splice.n, self._splice.end)
        whole = len(tail.events) < PAGE
        items = self._splice.merge(tail, buffered, whole=whole)
        self.more = not whole
        self.ended = whole and tail.state in RESTING and self._splice.n >= tail.rest
        return items

    async def _tail(self) -> Tail | None:
        async def body(reader: Reader) -> Tail | None:
            return await reader.tail(self._splice.run_id, self._splice.n, PAGE)

        return await self._store.read(body)

    def _notice(self, notice: Notice) -> StreamItem:
        kind = str(orjson.loads(notice.body)["type"])
        return StreamItem(self._splice.run_id, self._splice.conversation_id, kind, notice.body, notice.timestamp)
