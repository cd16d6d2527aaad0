"""Limit request rates: on Redis through the library `limits` if processes share them, else in memory."""

import logging
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

__all__ = ["MAX_KEYS", "RETRY_AFTER", "FallbackRateLimiter", "InMemoryWindows"]

MAX_KEYS = 100_000
RETRY_AFTER = 2.0
"""Seconds without Redis after a timeout: otherwise each request would wait for it."""

_WINDOW = 60.0
_TIMEOUT = 1.0

logger = logging.getLogger(__name__)


class FallbackRateLimiter:
    """`RateLimiter`. While Redis is down, each process counts on its own: limits get wider but never vanish."""

    def __init__(self, redis_url: str | None = None) -> None:
        self._local = InMemoryWindows()
        self._pool = _pool(redis_url) if redis_url else None
        self._shared = _shared(self._pool) if self._pool else None
        self._retry_redis_at: float | None = None

    async def hit(self, bucket: str, key: str, per_minute: int) -> int | None:
        if self._shared is not None and (self._retry_redis_at or 0) <= time.monotonic():
            try:
                found = await _hit_shared(self._shared, RateLimitItemPerMinute(per_minute, namespace=bucket), key)
            except StorageError as error:
                self._fall_back(error)
            else:
                self._retry_redis_at = None
                return found
        return self._local.hit(f"{bucket}/{key}", per_minute)

    def _fall_back(self, error: StorageError) -> None:
        if self._retry_redis_at is None:
            logger.warning("rate limits are counted per process: %s", error, extra={"action": "rates.apart"})
        self._retry_redis_at = time.monotonic() + RETRY_AFTER

    async def aclose(self) -> None:
        """Close the connections to Redis."""
        if self._pool is not None:
            await self._pool.aclose()


class InMemoryWindows:
    """Count requests in moving windows in memory. Beyond `max_keys`, the least recently used key is dropped.

    The library's memory storage scans every key on each request, in a thread: a thousand addresses took a CPU core.
    """

    def __init__(self, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_keys = max_keys
        self._clock = clock
        self._requests: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._requests)

    def hit(self, key: str, per_minute: int) -> int | None:
        """Count one request. Return None, or the seconds to wait if it exceeds the limit; then it is not counted."""
        now = self._clock()
        recent = self._requests.pop(key, None) or deque()
        while recent and recent[0] <= now - _WINDOW:
            recent.popleft()
        wait = None if len(recent) < per_minute else recent[-per_minute] + _WINDOW - now
        if wait is None:
            recent.append(now)
        self._requests[key] = recent
        self._drop_expired(now - _WINDOW)
        return None if wait is None else _round_up(wait)

    def _drop_expired(self, before: float) -> None:
        while len(self._requests) > self._max_keys or next(iter(self._requests.values()))[-1] <= before:
            self._requests.popitem(last=False)


async def _hit_shared(limiter: MovingWindowRateLimiter, item: RateLimitItemPerMinute, key: str) -> int | None:
    if await limiter.hit(item, key):
        return None
    reset, _ = await limiter.get_window_stats(item, key)
    return _round_up(reset - time.time())


def _round_up(wait: float) -> int:
    return min(int(_WINDOW), max(1, math.ceil(wait)))


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(url, socket_connect_timeout=_TIMEOUT, socket_timeout=_TIMEOUT)


def _shared(pool: ConnectionPool) -> MovingWindowRateLimiter:
    # The library requires a URL in addition to the pool, which has the real one; its types omit the pool.
    options: dict[str, Any] = {"implementation": "redispy", "connection_pool": pool}
    storage = RedisStorage("async+redis://", wrap_exceptions=True, **options)
    return MovingWindowRateLimiter(storage)
