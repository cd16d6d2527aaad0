"""Implement the bus between processes: Redis pub/sub for signals, one Redis stream per run as live buffer.

Redis never holds the only copy of data. While it is down, signals are dropped, listeners poll, and texts arrive once
they are finished. When it comes back, each listener gets a `RunChanged`.
"""

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import groupby
from types import TracebackType
from typing import Final, Self

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline, PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from src.api.adapters.bus.codec import decode, decode_all, decode_offer, encode, encode_offer, encode_sender
from src.api.adapters.bus.delivery import LocalDelivery
from src.api.config.offers import OFFERS
from src.api.errors import BusUnavailable
from src.api.ports import Clock, Delta, EphemeralEvent, QueuedRun, RunChanged, Signal
from src.api.schemas.events import SEQ_PER_JOURNAL_EVENT

__all__ = ["RedisBus"]

log = logging.getLogger(__name__)

CONNECTION_ERRORS: Final = (RedisError, OSError)
TIMEOUT = 2.0
"""Seconds that Redis may take to answer."""
RETRY = 1.0
"""Seconds between two connection attempts."""
IDLE_SECONDS = 10.0
"""Seconds without any message after which the connection is tested."""
MAX_PAUSE = 0.02
"""The longest time in seconds for which later tokens of texts gather; all other signals go out at once."""
PAUSE_SHARE = 4
"""A pause is this many times as long as the last round trip took, which includes the event loop's backlog."""
IDLE_ROUND_TRIP = 0.002
"""A round trip in less than these seconds shows that nothing waits: later tokens do not gather then."""
QUEUE = 10_000
"""Signals that may wait to be sent; further ones are dropped."""
BATCH = 500
"""Signals in one round trip."""
BUFFER = 10_000
"""Minimum number of deltas that a run's live buffer holds."""

CHANNEL = "run:"
CHANGES = "changes"
"""The channel that says, without content, that some run has changed."""
KEEP_ALIVE = b"skyflo:alive"
FLUSH_SECONDS = 1.0
"""Seconds that the end of the process waits for signals that are still to be sent."""

PUBLISH_DELTAS = """
local accepted = {}
for i = 4, #ARGV, 2 do
  local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[i] .. '-0', 'd', ARGV[i + 1])
  if type(added) == 'string' then
    accepted[#accepted + 1] = ARGV[i + 1]
  elseif not string.find(added.err, 'equal or smaller', 1, true) then
    return added
  end
end
if #accepted > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PUBLISH', KEYS[2], ARGV[3] .. ',' .. table.concat(accepted, ',') .. ']')
end
return #accepted
"""
"""Appends deltas above the buffer's last one and publishes exactly those, so that a zombie owner's deltas are refused.
"""


class RedisBus:
    """`Bus` on Redis, running inside `async with`. Only `check` waits for Redis or raises when it is down.

    Signals reach the listeners of this process directly, and those of others through Redis.
    """

    def __init__(self, url: str, clock: Clock, *, keep: float = 300) -> None:
        # redis-py's own send timeout uses `asyncio.wait_for`, which may swallow a cancellation on Python 3.11.
        self._client: Redis = Redis.from_url(
            url, socket_timeout=None, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 1)
        )
        self._clock = clock
        self._keep_ms = int(keep * 1000)
        self._sender = secrets.token_hex(8)
        self._head = encode_sender(self._sender)
        self._local = LocalDelivery()
        self._queue: deque[Signal | QueuedRun] = deque()
        self._in_flight: list[Signal | QueuedRun] = []
        self._queued = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._urgent = asyncio.Event()
        self._sent_at = 0.0
        self._pause = 0.0
        self._change_listeners: list[Callable[[], None]] = []
        self._offer_listeners: list[Callable[[QueuedRun], None]] = []
        self._changed = asyncio.Event()
        self._broken = asyncio.Event()
        self._up: bool | None = None
        self._refusing = False
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loops = {"bus-listener": self._listen_loop(), "bus-publisher": self._publish_loop()}
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._flush()
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._client.aclose()

    async def _flush(self) -> None:
        """Wait until everything is sent: the last signals of a process hand its runs over."""
        if self._up and (self._queue or self._in_flight):
            self._all_sent.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_SECONDS):
                    await self._all_sent.wait()

    @property
    def connected(self) -> bool:
        """Whether Redis answered the last time."""
        return self._up is True

    def notify(self, change: RunChanged) -> None:
        self._local.deliver(change, 0.0)
        self._push(change.without_addition(), urgent=True)
        for on_change in self._change_listeners:
            on_change()

    async def publish(self, signal: Delta | EphemeralEvent) -> None:
        urgent = _is_urgent(signal)
        self._local.deliver(signal, 0.0 if urgent else self._pause)
        self._push(signal, urgent=urgent)

    @asynccontextmanager
    async def listen(self, run_id: str, on_signal: Callable[[Signal], None]) -> AsyncIterator[None]:
        """Subscribe to a run's signals, see `Bus.listen`.

        The first `RunChanged` arrives once Redis has confirmed the subscription; it stands for everything before that.
        """
        self._local.add(run_id, on_signal)
        self._changed.set()
        try:
            yield
        finally:
            self._local.remove(run_id, on_signal)
            self._changed.set()

    @asynccontextmanager
    async def listen_to_changes(self, on_change: Callable[[], None]) -> AsyncIterator[None]:
        self._change_listeners.append(on_change)
        self._changed.set()
        try:
            yield
        finally:
            self._change_listeners.remove(on_change)
            self._changed.set()

    def offer(self, run: QueuedRun) -> None:
        self._push(run, urgent=True)

    @asynccontextmanager
    async def listen_to_offers(self, on_offer: Callable[[QueuedRun], None]) -> AsyncIterator[None]:
        self._offer_listeners.append(on_offer)
        self._changed.set()
        try:
            yield
        finally:
            self._offer_listeners.remove(on_offer)
            self._changed.set()

    async def buffered(self, run_id: str, n: int, end: int) -> list[Delta]:
        if not self._up:
            return []
        first = n * SEQ_PER_JOURNAL_EVENT + end + 1
        try:
            async with asyncio.timeout(TIMEOUT):
                entries = await self._client.xrange(_buffer_key(run_id), min=str(first), count=2 * BUFFER) or []
        except CONNECTION_ERRORS as error:
            self._mark_lost(error)
            return []
        signals = (decode(run_id, fields[b"d"]) for _, fields in entries if fields)
        found = [signal for signal in signals if isinstance(signal, Delta)]
        return found + self._unsent(run_id, *((found[-1].n, found[-1].end) if found else (n, end)))

    def _unsent(self, run_id: str, n: int, end: int) -> list[Delta]:
        """Return the deltas above (n, end) that are on their way to the buffer: listeners here have them already."""
        found: list[Delta] = []
        for signal in (*self._in_flight, *self._queue):
            if isinstance(signal, Delta) and signal.run_id == run_id and (signal.n, signal.end) > (n, end):
                found.append(signal)
                n, end = signal.n, signal.end
        return found

    async def check(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._client.ping()
        except CONNECTION_ERRORS as error:
            raise BusUnavailable("Redis does not answer. Check that it runs, and REDIS_URL.") from error

    def _push(self, signal: Signal | QueuedRun, *, urgent: bool) -> None:
        if self._up and len(self._queue) < QUEUE:
            self._queue.append(signal)
            self._queued.set()
            if urgent:
                self._urgent.set()

    # -- publishing: a single task keeps the order; signals that arrive during a round trip form the next batch

    async def _publish_loop(self) -> None:
        while True:
            await self._queued.wait()
            await self._gather()
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if not self._queue:
                self._queued.clear()
            try:
                if batch:
                    await self._send_timed(batch)
            except CONNECTION_ERRORS as error:
                self._mark_lost(error)
                await self._clock.sleep(RETRY)
            if not self._queue:
                self._all_sent.set()

    async def _gather(self) -> None:
        """Let later tokens gather while the loop is busy, unless something waits that a person would notice at once."""
        if self._pause:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._sent_at + self._pause):
                    await self._urgent.wait()
        self._urgent.clear()

    async def _send_timed(self, batch: list[Signal | QueuedRun]) -> None:
        """Send the batch, and let the next pause follow from how long that took."""
        loop = asyncio.get_running_loop()
        self._in_flight, self._sent_at = batch, loop.time()
        try:
            await self._send(batch)
        finally:
            self._in_flight = []
        took = loop.time() - self._sent_at
        self._pause = 0.0 if took < IDLE_ROUND_TRIP else min(MAX_PAUSE, PAUSE_SHARE * took)

    async def _send(self, batch: list[Signal | QueuedRun]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        signals = [one for one in batch if not isinstance(one, QueuedRun)]
        for (run_id, is_delta), group in groupby(signals, key=lambda one: (one.run_id, isinstance(one, Delta))):
            if is_delta:
                self._append_deltas(pipeline, run_id, group)
            else:
                pipeline.execute_command(
                    "PUBLISH", _channel(run_id), b",".join((self._head, *map(encode, group))) + b"]"
                )
        if any(isinstance(signal, RunChanged) for signal in batch):
            pipeline.execute_command("PUBLISH", CHANGES, self._sender)
        for offered in (one for one in batch if isinstance(one, QueuedRun)):
            pipeline.execute_command("PUBLISH", OFFERS, self._head + b"," + encode_offer(offered) + b"]")
        async with asyncio.timeout(TIMEOUT):
            answers = await pipeline.execute(raise_on_error=False)
        self._log_refusal(next((answer for answer in answers if isinstance(answer, ResponseError)), None))

    def _append_deltas(self, pipeline: Pipeline, run_id: str, deltas: Iterable[Signal]) -> None:
        pairs: list[str | bytes] = []
        for delta in deltas:
            if isinstance(delta, Delta):
                pairs += [str(delta.n * SEQ_PER_JOURNAL_EVENT + delta.end), encode(delta)]
        keys = (_buffer_key(run_id), _channel(run_id))
        pipeline.execute_command("EVAL", PUBLISH_DELTAS, 2, *keys, str(BUFFER), str(self._keep_ms), self._head, *pairs)

    # -- listening: one connection for all runs

    async def _listen_loop(self) -> None:
        # A task group whose task fails while it is being cancelled raises only the failure.
        while not self._closed:
            try:
                async with self._client.pubsub() as pubsub, asyncio.TaskGroup() as tasks:
                    await pubsub.subscribe(KEEP_ALIVE)
                    tasks.create_task(self._subscribe(pubsub))
                    tasks.create_task(self._receive(pubsub))
                    tasks.create_task(self._wait_for_send_failure())
            except* CONNECTION_ERRORS as errors:
                self._mark_lost(errors.exceptions[0])
            await self._clock.sleep(RETRY)

    async def _subscribe(self, pubsub: PubSub) -> None:
        """Keep the subscriptions equal to what is listened to.

        Apart from the connection test, no other code writes to this connection.
        """
        subscribed: set[str] = set()
        while True:
            wanted = {_channel(run_id) for run_id in self._local.run_ids}
            wanted |= {CHANGES} if self._change_listeners else set()
            wanted |= {OFFERS} if self._offer_listeners else set()
            if new := wanted - subscribed:
                await pubsub.subscribe(*new)
            if old := subscribed - wanted:
                await pubsub.unsubscribe(*old)
            subscribed = wanted
            await self._changed.wait()
            self._changed.clear()

    async def _wait_for_send_failure(self) -> None:
        """Wait until sending fails, then end the session; the next one starts with a `RunChanged` to every listener."""
        self._broken.clear()
        await self._broken.wait()
        raise RedisConnectionError("sending failed")

    async def _receive(self, pubsub: PubSub) -> None:
        tested = False
        while True:
            message = await pubsub.get_message(timeout=IDLE_SECONDS)
            if message is not None:
                tested = False
                self._deliver(message["type"], message["channel"], message["data"])
            elif tested:
                raise RedisConnectionError("the subscribed connection does not answer")
            else:
                await pubsub.ping()
                tested = True

    def _deliver(self, kind: str, channel: bytes | None, data: bytes) -> None:
        if channel == KEEP_ALIVE:
            self._mark_connected()
            return
        if kind == "message" and (data == self._sender.encode() or data.startswith(self._head)):
            return  # this process has heard it already
        if channel == CHANGES.encode():
            for on_change in self._change_listeners:
                on_change()
            return
        if channel == OFFERS.encode():
            self._deliver_offer(decode_offer(data) if kind == "message" else None)
            return
        run_id = (channel or b"").decode().removeprefix(CHANNEL)
        if run_id in self._local.run_ids:
            signals = decode_all(run_id, data) if kind == "message" else [RunChanged(run_id)]
            self._local.deliver_foreign(run_id, signals)

    def _deliver_offer(self, offered: QueuedRun | None) -> None:
        if offered is not None:
            for on_offer in self._offer_listeners:
                on_offer(offered)

    # -- connection state: logged once per change

    def _mark_lost(self, error: BaseException) -> None:
        if self._up is not False:
            log.warning("Redis is down; tokens may arrive late: %s", error, extra={"action": "bus.lost"})
        self._up = False
        self._broken.set()
        self._queue.clear()

    def _mark_connected(self) -> None:
        if self._up is False:
            log.info("Redis is back", extra={"action": "bus.found"})
        self._up = True

    def _log_refusal(self, error: ResponseError | None) -> None:
        if error is not None and not self._refusing:
            log.warning("Redis refuses deltas; tokens will arrive late: %s", error, extra={"action": "bus.refused"})
        self._refusing = error is not None


def _is_urgent(signal: Signal) -> bool:
    return not isinstance(signal, Delta) or signal.start == 0


def _channel(run_id: str) -> str:
    return CHANNEL + run_id


def _buffer_key(run_id: str) -> str:
    return f"live:{run_id}"
