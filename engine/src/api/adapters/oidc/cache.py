"""Cache provider metadata and keys with a TTL; concurrent refreshes share one request."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from src.api.errors import IdentityUnavailable
from src.api.ports import Clock

__all__ = ["MAX_AGE_SECONDS", "CachedValue"]

T = TypeVar("T")

MAX_AGE_SECONDS = 3_600.0
RETRY_SECONDS = 5.0
"""Seconds before a provider that failed is asked again."""


class CachedValue(Generic[T]):
    """Cache the result of `fetch`. An expired value is never returned: `get` raises until a new one arrives."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: tuple[T, float] | None = None
        self._failure: tuple[str, float] | None = None

    async def get(self, max_age: float = MAX_AGE_SECONDS) -> T:
        """Return the value, at most `max_age` seconds old. Raises `IdentityUnavailable`."""
        async with self._lock:
            now = self._clock.monotonic()
            if self._value is not None and now - self._value[1] < max_age:
                return self._value[0]
            if self._failure is not None and now - self._failure[1] < RETRY_SECONDS:
                raise IdentityUnavailable(self._failure[0])
            try:
                value = await self._fetch()
            except IdentityUnavailable as error:
                self._failure = (error.detail, self._clock.monotonic())
                raise
            self._value, self._failure = (value, self._clock.monotonic()), None
            return value
