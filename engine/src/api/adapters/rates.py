"""Rate limits by the library `limits`: on Redis where several processes share them, in memory for one."""

import logging
import math
import time
from typing import Any

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from redis.asyncio import ConnectionPool

__all__ = ["Rates"]

_TIMEOUT = 1.0
_LONGEST_WAIT = 60

logger = logging.getLogger(__name__)


class Rates:
    """`RateLimiter`. While Redis does not answer, each process counts by itself: limits get wider, never vanish."""

    def __init__(self, redis_url: str | None = None) -> None:
        self._here = MovingWindowRateLimiter(MemoryStorage())
        self._pool = _pool(redis_url) if redis_url else None
        self._shared = _shared(self._pool) if self._pool else None
        self._apart = False

    async def hit(self, bucket: str, key: str, per_minute: int) -> int | None:
        item = RateLimitItemPerMinute(per_minute, namespace=bucket)
        if self._shared is None:
            return await _wait(self._here, item, key)
        try:
            found = await _wait(self._shared, item, key)
        except StorageError as error:
            if not self._apart:
                logger.warning("rate limits are counted apart: %s", error, extra={"action": "rates.apart"})
            self._apart = True
            return await _wait(self._here, item, key)
        self._apart = False
        return found

    async def aclose(self) -> None:
        """Closes what is connected."""
        if self._pool is not None:
            await self._pool.aclose()


async def _wait(limiter: MovingWindowRateLimiter, item: RateLimitItemPerMinute, key: str) -> int | None:
    if await limiter.hit(item, key):
        return None
    reset, _ = await limiter.get_window_stats(item, key)
    return min(_LONGEST_WAIT, max(1, math.ceil(reset - time.time())))


def _pool(url: str) -> ConnectionPool:
    return ConnectionPool.from_url(url, socket_connect_timeout=_TIMEOUT, socket_timeout=_TIMEOUT)


def _shared(pool: ConnectionPool) -> MovingWindowRateLimiter:
    # The address is the pool's; the library asks for one all the same, and its types forget the pool.
    options: dict[str, Any] = {"implementation": "redispy", "connection_pool": pool}
    storage = RedisStorage("async+redis://", wrap_exceptions=True, **options)
    return MovingWindowRateLimiter(storage)
