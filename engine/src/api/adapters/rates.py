"""Rate limits: on Redis by the library `limits` where several processes share them, in memory for one."""

import logging
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

__all__ = ["MOST_KEYS", "RETRY_AFTER", "Rates", "Windows"]

MOST_KEYS = 100_000
RETRY_AFTER = 2.0
"""Seconds without Redis after one that it did not answer in: else each request would wait for it."""

_WINDOW = 60.0
_TIMEOUT = 1.0

logger = logging.getLogger(__name__)


class Rates:
    """`RateLimiter`. While Redis does not answer, each process counts by itself: limits get wider, never vanish."""

    def __init__(self, redis_url: str | None = None) -> None:
        self._here = Windows()
        self._pool = _pool(redis_url) if redis_url else None
        self._shared = _shared(self._pool) if self._pool else None
        self._apart_until: float | None = None

    async def hit(self, bucket: str, key: str, per_minute: int) -> int | None:
        if self._shared is not None and (self._apart_until or 0) <= time.monotonic():
            try:
                found = await _wait(self._shared, RateLimitItemPerMinute(per_minute, namespace=bucket), key)
            except StorageError as error:
                self._count_apart(error)
            else:
                self._apart_until = None
                return found
        return self._here.hit(f"{bucket}/{key}", per_minute)

    def _count_apart(self, error: StorageError) -> None:
        if self._apart_until is None:
            logger.warning("rate limits are counted apart: %s", error, extra={"action": "rates.apart"})
        self._apart_until = time.monotonic() + RETRY_AFTER

    async def aclose(self) -> None:
        """Closes what is connected."""
        if self._pool is not None:
            await self._pool.aclose()


class Windows:
    """Moving windows in memory. Beyond `most_keys` the one that has not asked for the longest is forgotten.

    The library's own looks at every key again with each request, in a thread: a thousand addresses took a core.
    """

    def __init__(self, most_keys: int = MOST_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        self._most_keys = most_keys
        self._clock = clock
        self._asked: OrderedDict[str, list[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._asked)

    def hit(self, key: str, per_minute: int) -> int | None:
        """Counts one; None, or the seconds until the next one if it is too many, which is not counted."""
        now = self._clock()
        recent = [at for at in self._asked.pop(key, ()) if at > now - _WINDOW]
        wait = None if len(recent) < per_minute else recent[-per_minute] + _WINDOW - now
        if wait is None:
            recent.append(now)
        self._asked[key] = recent
        self._forget(now - _WINDOW)
        return None if wait is None else _whole(wait)

    def _forget(self, before: float) -> None:
        while len(self._asked) > self._most_keys or next(iter(self._asked.values()))[-1] <= before:
            self._asked.popitem(last=False)


async def _wait(limiter: MovingWindowRateLimiter, item: RateLimitItemPerMinute, key: str) -> int | None:
    if await limiter.hit(item, key):
        return None
    reset, _ = await limiter.get_window_stats(item, key)
    return _whole(reset - time.time())


def _whole(wait: float) -> int:
    return min(int(_WINDOW), max(1, math.ceil(wait)))


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(url, socket_connect_timeout=_TIMEOUT, socket_timeout=_TIMEOUT)


def _shared(pool: ConnectionPool) -> MovingWindowRateLimiter:
    # The address is the pool's; the library asks for one all the same, and its types forget the pool.
    options: dict[str, Any] = {"implementation": "redispy", "connection_pool": pool}
    storage = RedisStorage("async+redis://", wrap_exceptions=True, **options)
    return MovingWindowRateLimiter(storage)
