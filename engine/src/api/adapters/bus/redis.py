"""The bus between processes: Redis pub/sub for signals, a Redis stream per run as its live buffer.

Nothing here is truth. While Redis is away signals are dropped, listeners find out by polling, and texts come when they
are finished; when it is back, each listener gets a `Ring`.
"""

import asyncio
import logging
from collections import defaultdict, deque
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

from src.api.adapters.bus.wire import decode, decode_all, encode
from src.api.errors import BusUnavailable
from src.api.ports import Clock, Delta, Notice, Ring, Signal
from src.api.schemas.events import SEQ_PER_JOURNAL_EVENT

__all__ = ["RedisBus"]

log = logging.getLogger(__name__)

LOST: Final = (RedisError, OSError)
TIMEOUT = 2.0
"""Seconds that Redis may take to answer."""
RETRY = 1.0
"""Seconds between two attempts to reach it."""
SILENCE = 10.0
"""Seconds without any message after which the connection is tested."""
LINGER = 0.01
"""Seconds between two round trips: the first token goes out at once, at full speed they go in bunches."""
QUEUE = 10_000
"""Signals that may wait to be sent; further ones are dropped."""
BATCH = 500
"""Signals in one round trip."""
BUFFER = 10_000
"""Deltas that a run's live buffer keeps, at least."""

CHANNEL = "run:"
KEEP_ALIVE = b"skyflo:alive"

PUBLISH_DELTAS = """
local accepted = {}
for i = 3, #ARGV, 2 do
  local added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[i] .. '-0', 'd', ARGV[i + 1])
  if type(added) == 'string' then
    accepted[#accepted + 1] = ARGV[i + 1]
  elseif not string.find(added.err, 'equal or smaller', 1, true) then
    return added
  end
end
if #accepted > 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  redis.call('PUBLISH', KEYS[2], '[' .. table.concat(accepted, ',') .. ']')
end
return #accepted
"""
"""Appends what is above the buffer's last, and passes on exactly that: a zombie's deltas are refused here."""


class RedisBus:
    """`Bus` by Redis, alive inside `async with`. Never fails and never waits for Redis, but in `check`."""

    def __init__(self, url: str, clock: Clock, *, keep: float = 300) -> None:
        # Its own time-out for sending is `asyncio.wait_for`, which may swallow a cancellation on Python 3.11.
        self._client: Redis = Redis.from_url(
            url, socket_timeout=None, socket_connect_timeout=TIMEOUT, retry=Retry(NoBackoff(), 1)
        )
        self._clock = clock
        self._keep_ms = int(keep * 1000)
        self._queue: deque[Signal] = deque()
        self._queued = asyncio.Event()
        self._listeners: defaultdict[str, list[Callable[[Signal], None]]] = defaultdict(list)
        self._changed = asyncio.Event()
        self._broken = asyncio.Event()
        self._up: bool | None = None
        self._refusing = False
        self._closed = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loops = {"bus-listener": self._hear_forever(), "bus-publisher": self._send_forever()}
        self._tasks = [asyncio.create_task(loop, name=name) for name, loop in loops.items()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        await self._client.aclose()

    @property
    def connected(self) -> bool:
        """Whether Redis was there when last heard of."""
        return self._up is True

    def ring(self, run_id: str) -> None:
        self._enqueue(Ring(run_id))

    async def publish(self, signal: Delta | Notice) -> None:
        self._enqueue(signal)

    @asynccontextmanager
    async def listen(self, run_id: str, hear: Callable[[Signal], None]) -> AsyncIterator[None]:
        """As the port says; a first `Ring` follows as soon as Redis has confirmed, for what came until then."""
        self._listeners[run_id].append(hear)
        self._changed.set()
        try:
            yield
        finally:
            self._listeners[run_id].remove(hear)
            if not self._listeners[run_id]:
                del self._listeners[run_id]
                self._changed.set()

    async def buffered(self, run_id: str, n: int, end: int) -> list[Delta]:
        if not self._up:
            return []
        above = n * SEQ_PER_JOURNAL_EVENT + end + 1
        try:
            async with asyncio.timeout(TIMEOUT):
                entries = await self._client.xrange(_buffer(run_id), min=str(above), count=2 * BUFFER) or []
        except LOST as error:
            self._lost(error)
            return []
        signals = (decode(run_id, fields[b"d"]) for _, fields in entries if fields)
        return [signal for signal in signals if isinstance(signal, Delta)]

    async def check(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                await self._client.ping()
        except LOST as error:
            raise BusUnavailable("Redis does not answer. Check REDIS_URL, and that it runs.") from error

    def _enqueue(self, signal: Signal) -> None:
        if self._up and len(self._queue) < QUEUE:
            self._queue.append(signal)
            self._queued.set()

    # -- publishing: one task, so that the order stays; what piles up meanwhile makes the next batch

    async def _send_forever(self) -> None:
        while True:
            await self._queued.wait()
            batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
            if not self._queue:
                self._queued.clear()
            try:
                if batch:
                    await self._send(batch)
                    await self._clock.sleep(LINGER)
            except LOST as error:
                self._lost(error)
                await self._clock.sleep(RETRY)

    async def _send(self, batch: list[Signal]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for (run_id, is_delta), group in groupby(batch, key=lambda one: (one.run_id, isinstance(one, Delta))):
            if is_delta:
                self._append(pipeline, run_id, group)
            else:
                pipeline.execute_command("PUBLISH", _channel(run_id), b"[" + b",".join(map(encode, group)) + b"]")
        async with asyncio.timeout(TIMEOUT):
            answers = await pipeline.execute(raise_on_error=False)
        self._refused(next((answer for answer in answers if isinstance(answer, ResponseError)), None))

    def _append(self, pipeline: Pipeline, run_id: str, deltas: Iterable[Signal]) -> None:
        pairs: list[str | bytes] = []
        for delta in deltas:
            if isinstance(delta, Delta):
                pairs += [str(delta.n * SEQ_PER_JOURNAL_EVENT + delta.end), encode(delta)]
        keys = (_buffer(run_id), _channel(run_id))
        pipeline.execute_command("EVAL", PUBLISH_DELTAS, 2, *keys, str(BUFFER), str(self._keep_ms), *pairs)

    # -- listening: one connection for all runs

    async def _hear_forever(self) -> None:
        # A task group whose task fails as it is being cancelled raises the failure alone.
        while not self._closed:
            try:
                async with self._client.pubsub() as pubsub, asyncio.TaskGroup() as tasks:
                    await pubsub.subscribe(KEEP_ALIVE)
                    tasks.create_task(self._subscribe(pubsub))
                    tasks.create_task(self._receive(pubsub))
                    tasks.create_task(self._fail())
            except* LOST as errors:
                self._lost(errors.exceptions[0])
            await self._clock.sleep(RETRY)

    async def _subscribe(self, pubsub: PubSub) -> None:
        """Keeps the subscriptions those of the listeners; the only one to write to the connection besides its test."""
        subscribed: set[str] = set()
        while True:
            wanted = set(self._listeners)
            if new := wanted - subscribed:
                await pubsub.subscribe(*map(_channel, new))
            if old := subscribed - wanted:
                await pubsub.unsubscribe(*map(_channel, old))
            subscribed = wanted
            await self._changed.wait()
            self._changed.clear()

    async def _fail(self) -> None:
        """Ends the session when sending has failed, for what a new one begins with: a `Ring` to every listener."""
        self._broken.clear()
        await self._broken.wait()
        raise RedisConnectionError("sending failed")

    async def _receive(self, pubsub: PubSub) -> None:
        tested = False
        while True:
            message = await pubsub.get_message(timeout=SILENCE)
            if message is not None:
                tested = False
                self._deliver(message["type"], message["channel"], message["data"])
            elif tested:
                raise RedisConnectionError("no answer on the connection that listens")
            else:
                await pubsub.ping()
                tested = True

    def _deliver(self, kind: str, channel: bytes | None, data: bytes) -> None:
        if channel == KEEP_ALIVE:
            self._found()
            return
        run_id = (channel or b"").decode().removeprefix(CHANNEL)
        hearers = self._listeners.get(run_id, ())
        signals = decode_all(run_id, data) if kind == "message" else [Ring(run_id)]
        for signal in signals if hearers else ():
            for hear in hearers:
                hear(signal)

    # -- whether Redis is there: said once each time that changes

    def _lost(self, error: BaseException) -> None:
        if self._up is not False:
            log.warning("Redis is away, tokens may come late: %s", error, extra={"action": "bus.lost"})
        self._up = False
        self._broken.set()
        self._queue.clear()

    def _found(self) -> None:
        if self._up is False:
            log.info("Redis is back", extra={"action": "bus.found"})
        self._up = True

    def _refused(self, error: ResponseError | None) -> None:
        if error is not None and not self._refusing:
            log.warning("Redis takes no deltas, tokens will come late: %s", error, extra={"action": "bus.refused"})
        self._refusing = error is not None


def _channel(run_id: str) -> str:
    return CHANNEL + run_id


def _buffer(run_id: str) -> str:
    return f"live:{run_id}"
