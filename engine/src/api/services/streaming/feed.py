"""The live feed: what changes in everything that a person may see, as it happens.

One reader per process follows the database while anyone listens. The bus only wakes it early, so the feed works the
same without Redis, half a second later.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from src.api.errors import StoreUnavailable, Unavailable
from src.api.ports import Bus, Clock, Store
from src.api.schemas.events import Interruption
from src.api.schemas.feed import FeedHeartbeat, FeedReady, InboxCounts, build_feed_error, encode
from src.api.schemas.sse import RETRY
from src.api.services.access import Caller
from src.api.services.background import BackgroundLoop
from src.api.services.streaming.feed_reader import FeedItem, FeedReader

__all__ = ["LiveFeed"]

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
MIN_SECONDS = 0.05
"""Seconds between two reads at least, however often the bus signals."""

HEARTBEAT = 15.0
BOUND = 500
"""Messages that wait for one reader; a slower one gets a new snapshot instead."""

CountInbox = Callable[[Caller], Awaitable[InboxCounts]]


@dataclass(eq=False, slots=True)
class _Subscription:
    """One reader. `needs_snapshot`: it has to hear the counts before anything else."""

    caller: Caller
    waiting: list[bytes] = field(default_factory=list)
    needs_snapshot: bool = True
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def push(self, frames: list[bytes]) -> None:
        if len(self.waiting) + len(frames) > BOUND:
            self.request_snapshot()
        elif frames:
            self.waiting += frames
            self.changed.set()

    def request_snapshot(self) -> None:
        self.waiting.clear()
        self.needs_snapshot = True
        self.changed.set()

    def take(self) -> bytes:
        frames, self.waiting = b"".join(self.waiting), []
        self.changed.clear()
        return frames


class LiveFeed(BackgroundLoop):
    """Serve the live feed to any number of readers, inside `async with`. `heartbeat` is in seconds."""

    task_name = "live feed"

    def __init__(
        self, store: Store, bus: Bus, clock: Clock, count_inbox: CountInbox, heartbeat: float = HEARTBEAT
    ) -> None:
        self._store = store
        self._bus = bus
        self._clock = clock
        self._count_inbox = count_inbox
        self._heartbeat = heartbeat
        self._subscriptions: set[_Subscription] = set()
        self._has_subscriptions = asyncio.Event()
        self._starting = asyncio.Lock()
        self._reader: FeedReader | None = None
        self._wake = asyncio.Event()
        self._failing = False

    async def frames(self, caller: Caller) -> AsyncGenerator[bytes]:
        """Yield the snapshot, then messages as server-sent events, without end.

        The first frame raises `StoreUnavailable`. After that the feed waits while the database is unavailable.
        """
        async with self._subscribe(caller) as subscription:
            yield RETRY + await self._snapshot(subscription)
            due = self._clock.monotonic() + self._heartbeat
            while True:
                frame = await self._next_frame(subscription, due)
                yield frame
                due = self._clock.monotonic() + self._heartbeat

    def interruption(self, code: Interruption) -> bytes:
        """Encode the last message of a feed that ends for this reason."""
        return encode(build_feed_error(code, self._clock.now()))

    async def _next_frame(self, subscription: _Subscription, due: float) -> bytes:
        while True:
            if subscription.needs_snapshot:
                try:
                    return await self._snapshot(subscription)
                except StoreUnavailable as error:
                    logger.info("The feed waits for the database: %s", error, extra={"action": "feed.unavailable"})
            elif subscription.waiting:
                return subscription.take()
            try:
                async with asyncio.timeout(min(POLL_SECONDS, max(0.0, due - self._clock.monotonic()))):
                    await subscription.changed.wait()
            except TimeoutError:
                if self._clock.monotonic() >= due:
                    return encode(FeedHeartbeat(type="heartbeat", timestamp=self._clock.now()))

    async def _snapshot(self, subscription: _Subscription) -> bytes:
        """Count after everything before has been dropped: a change meanwhile has a message of its own."""
        subscription.take()
        counts = await self._count_inbox(subscription.caller)
        subscription.needs_snapshot = False
        return encode(FeedReady(type="ready", timestamp=self._clock.now(), counts=counts))

    @asynccontextmanager
    async def _subscribe(self, caller: Caller) -> AsyncIterator[_Subscription]:
        subscription = _Subscription(caller)
        async with self._starting:
            if self._reader is None:
                reader = FeedReader(self._store, self._clock)
                await reader.start()
                self._reader = reader
            self._subscriptions.add(subscription)
            self._has_subscriptions.set()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)
            if not self._subscriptions:
                self._has_subscriptions.clear()
                self._reader = None

    async def _loop(self) -> None:
        while True:
            await self._has_subscriptions.wait()
            async with self._bus.listen_to_changes(self._wake.set):
                while self._subscriptions:
                    await self._read_and_distribute()
                    await self._clock.sleep(MIN_SECONDS)
                    await self._wait_for_change()

    async def _wait_for_change(self) -> None:
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()

    async def _read_and_distribute(self) -> None:
        reader = self._reader
        if reader is None:
            return
        try:
            items = await reader.read()
        except Unavailable as error:
            if not self._failing:
                logger.warning("The live feed can't be read: %s", error, extra={"action": "feed.store_unavailable"})
            self._failing = True
            return
        self._failing = False
        for subscription in self._subscriptions:
            if items is None:
                subscription.request_snapshot()
            else:
                subscription.push(_visible_frames(items, subscription.caller))


def _visible_frames(items: list[FeedItem], caller: Caller) -> list[bytes]:
    return [encode(item.message) for item in items if item.is_visible_to(caller)]
