"""Stream the events of a run to any number of clients, which may disconnect and come back.

Journal events come from the database, or from the transaction that committed them in this process; deltas from the bus
and its live buffer; `merge.py` joins the two. A stream ends with the last event of a run that rests, or with an `error`
event. A client that has the run's last event already gets it once more, without an id.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import orjson

from src.api.errors import BadRequest, NotFound, StoreUnavailable
from src.api.ports import Addition, Bus, Clock, Delta, EphemeralEvent, Reader, RunChanged, Signal, Store
from src.api.schemas.base import JsonObject
from src.api.schemas.events import EVENT, FINAL_TYPES, Event, Interruption, build_interruption
from src.api.schemas.records import Tail
from src.api.schemas.sse import RETRY, StreamItem, encode
from src.api.schemas.states import RESTING
from src.api.services.streaming.final_events import build_final_event
from src.api.services.streaming.merge import EventMerger
from src.api.services.streaming.watcher import RunSubscription, RunWatcher

__all__ = ["DescribeRequests", "RunStreams", "parse_event_id"]

logger = logging.getLogger(__name__)

PAGE = 500
"""Journal events read at once."""

HEARTBEAT = 15.0
"""Seconds without an event after which a heartbeat is sent."""


DescribeRequests = Callable[[Sequence[str]], Awaitable[Mapping[str, JsonObject]]]
"""Returns what `tool.awaiting_approval` says to one reader alone, by call."""


def parse_event_id(run_id: str, event_id: str) -> int:
    """Return the `seq` in an event id `<run_id>:<seq>`. Raises `BadRequest` unless the id belongs to this run."""
    owner, _, number = event_id.rpartition(":")
    if owner != run_id or not (number.isascii() and number.isdigit() and len(number) <= 18):
        raise BadRequest(
            "Last-Event-ID must be the id of an event of this run. Leave it out to start from the beginning."
        )
    return int(number)


@dataclass(slots=True)
class RunStreams:
    """Open streams of runs. `heartbeat` is in seconds."""

    store: Store
    bus: Bus
    watcher: RunWatcher
    clock: Clock
    heartbeat: float = field(default=HEARTBEAT, kw_only=True)

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[StreamItem]:
        """Yield `ready`, then the events with a `seq` above `after`, then live events until the run rests.

        The first item raises `NotFound` for an unknown run, `BadRequest` for a number that the run has not reached, and
        `StoreUnavailable`. After that, the stream waits while the database is unavailable.
        """
        async with aclosing(self._batches(run_id, after)) as batches:
            async for batch in batches:
                for item in batch:
                    yield item

    async def frames(self, run_id: str, after: int, describe: DescribeRequests) -> AsyncGenerator[bytes]:
        """Yield the same items encoded as server-sent events; items that are ready together come as one chunk.

        Requests for approval say what `describe` adds for the reader of this stream.
        """
        start = RETRY
        async with aclosing(self._batches(run_id, after)) as batches:
            async for batch in batches:
                yield start + encode(await _describe_requests(batch, describe))
                start = b""

    def interruption(self, run_id: str, conversation_id: str, code: Interruption) -> bytes:
        """Encode the `error` event for a stream that ends before its run rests."""
        return encode([_build_stream_event(run_id, conversation_id, build_interruption(code), self.clock.now())])

    async def _batches(self, run_id: str, after: int) -> AsyncGenerator[list[StreamItem]]:
        # While the client reads slowly, the subscription keeps a bounded number of signals.
        async with self.watcher.watch(run_id, changes_only=False) as watch:
            reader_ = _StreamReader(self.store, self.bus, watch, run_id, after)
            items = await reader_.open(self.clock.now())
            sent = self.clock.monotonic()
            while True:
                if items:
                    yield items
                    sent = self.clock.monotonic()
                if reader_.ended:
                    return
                due = sent + self.heartbeat
                signals = [RunChanged(run_id)] if reader_.has_more else await watch.wait(due - self.clock.monotonic())
                items = await reader_.process(signals, self.clock.now())
                if not items and self.clock.monotonic() >= due:
                    items = [reader_.stream_event("heartbeat", self.clock.now())]


class _StreamReader:
    """Read a run for one client. `has_more`: the database has more events than one read returned."""

    def __init__(self, store: Store, bus: Bus, watch: RunSubscription, run_id: str, after: int) -> None:
        self._store = store
        self._bus = bus
        self._watch = watch
        self._merger = EventMerger(run_id, "", after)
        self._gap_at: tuple[int, int] | None = None
        self._last_type = ""
        self.has_more = False
        self.ended = False

    async def open(self, now: int) -> list[StreamItem]:
        tail, final = await self._read_tail()
        if tail is None:
            raise NotFound("There is no such run.")
        if self._merger.n > tail.journal:
            raise BadRequest("The run has no event with this number yet. Start again without it.")
        self._merger.conversation_id = tail.conversation_id
        return [self.stream_event("ready", now), *await self._merge(tail, final, now)]

    async def process(self, signals: Sequence[Signal], now: int) -> list[StreamItem]:
        """Return what is new to the reader after these signals.

        A read may return events ahead of their signals, up to the run's end.
        """
        first: list[StreamItem] = []
        items: list[StreamItem] = []
        has_read = False
        for signal in signals:
            if isinstance(signal, EphemeralEvent):
                event = self._ephemeral_item(signal)
                if event.type == "ttft":
                    first.append(event)
                elif not self.ended:
                    items.append(event)
            elif self.ended:
                continue
            elif isinstance(signal, RunChanged) and signal.addition and self._continues(signal.addition):
                items += self._merge_addition(signal.addition, now)
            elif not has_read and self._needs_read(signal):
                has_read = True
                items += await self._read_journal(now)
            if isinstance(signal, Delta):
                items += self._merge_delta(signal)
        return first + items

    def stream_event(self, kind: str, now: int) -> StreamItem:
        """Build an event of the stream itself, such as `ready` or `heartbeat`."""
        return StreamItem(self._merger.run_id, self._merger.conversation_id, kind, f'{{"type":"{kind}"}}', now)

    def _needs_read(self, signal: Signal) -> bool:
        if isinstance(signal, Delta):
            return not self._merger.fits(signal) and self._gap_at != (self._merger.n, self._merger.end)
        return isinstance(signal, RunChanged) and signal.has_events

    def _merge_delta(self, delta: Delta) -> list[StreamItem]:
        if not self._merger.fits(delta):
            # Neither the database nor the buffer has the missing text; the completed text will bring it.
            self._gap_at = (self._merger.n, self._merger.end)
        return self._merger.delta(delta)

    def _continues(self, addition: Addition) -> bool:
        """Return whether the reader has all that was before the addition, so that nothing is left to read."""
        tail = addition.tail
        is_next = self._merger.n == addition.after or self._merger.n >= tail.journal
        # A run that waited for an approval may go on by now, and one that rests without an event may have been erased.
        return is_next and tail.state != "awaiting_approval" and (bool(tail.events) or tail.state not in RESTING)

    def _merge_addition(self, addition: Addition, now: int) -> list[StreamItem]:
        if self._merger.n > addition.after:
            return []
        return self._merge_tail(addition.tail, (), None, now, is_complete=True)

    async def _read_journal(self, now: int) -> list[StreamItem]:
        try:
            tail, final = await self._read_tail()
        except StoreUnavailable as error:
            logger.info("A stream waits for the database: %s", error, extra={"action": "stream.store_unavailable"})
            self._watch.request_signal()
            return []
        if tail is None:
            self.ended = True
            return [self._build_event(build_interruption("removed"), now)]
        return await self._merge(tail, final, now)

    async def _merge(self, tail: Tail, final: Event | None, now: int) -> list[StreamItem]:
        # A run without an event has streamed nothing.
        buffered = (
            await self._bus.buffered(self._merger.run_id, self._merger.n, self._merger.end) if tail.journal else ()
        )
        return self._merge_tail(tail, buffered, final, now, is_complete=len(tail.events) < PAGE)

    def _merge_tail(
        self, tail: Tail, buffered: Sequence[Delta], final: Event | None, now: int, *, is_complete: bool
    ) -> list[StreamItem]:
        items = self._merger.merge(tail, buffered, is_complete=is_complete)
        self._last_type = items[-1].type if items else self._last_type
        self.has_more = not is_complete
        self.ended = is_complete and tail.state in RESTING and self._merger.n >= tail.rest_seq
        if self.ended and self._last_type not in FINAL_TYPES:
            items.append(self._build_event(final or build_final_event(tail.state), now))
        return items

    async def _read_tail(self) -> tuple[Tail | None, Event | None]:
        """Read what is new to the reader, and the recorded event with which the stream ends if nothing is."""

        async def body(reader: Reader) -> tuple[Tail | None, Event | None]:
            tail = await reader.tail(self._merger.run_id, self._merger.n, PAGE)
            if tail is None or (tail.state in RESTING and tail.rest_seq == 0):
                return tail, build_interruption("removed")
            if tail.state not in RESTING or tail.events:
                return tail, None
            last = await reader.tail(self._merger.run_id, tail.rest_seq - 1, 1)
            if last is None or not last.events or last.events[0].type not in FINAL_TYPES:
                return tail, None
            return tail, EVENT.validate_json(last.events[0].body)

        return await self._store.read(body)

    def _build_event(self, event: Event, now: int) -> StreamItem:
        return _build_stream_event(self._merger.run_id, self._merger.conversation_id, event, now)

    def _ephemeral_item(self, event: EphemeralEvent) -> StreamItem:
        kind = str(orjson.loads(event.body)["type"])
        return StreamItem(self._merger.run_id, self._merger.conversation_id, kind, event.body, event.timestamp)


def _build_stream_event(run_id: str, conversation_id: str, event: Event, now: int) -> StreamItem:
    """Build an event that belongs to the stream: it has no number and is never replayed."""
    body = EVENT.dump_json(event, exclude_none=True).decode()
    return StreamItem(run_id, conversation_id, event.type, body, now)


async def _describe_requests(items: list[StreamItem], describe: DescribeRequests) -> list[StreamItem]:
    """Add to requests for approval what they say to this reader; without a database they say less."""
    if not any(item.type == "tool.awaiting_approval" for item in items):
        return items
    bodies = {item.seq: orjson.loads(item.body) for item in items if item.type == "tool.awaiting_approval"}
    try:
        described = await describe([body["call_id"] for body in bodies.values()])
    except StoreUnavailable as error:
        logger.info("A request is sent without its readers' rights: %s", error, extra={"action": "stream.undescribed"})
        return items
    return [
        (
            item
            if item.seq not in bodies or item.type != "tool.awaiting_approval"
            else _with_fields(item, bodies, described)
        )
        for item in items
    ]


def _with_fields(
    item: StreamItem, bodies: Mapping[int | None, JsonObject], described: Mapping[str, JsonObject]
) -> StreamItem:
    body = bodies[item.seq]
    fields = {name: value for name, value in described.get(str(body["call_id"]), {}).items() if value is not None}
    return item._replace(body=orjson.dumps({**body, **fields}).decode())
