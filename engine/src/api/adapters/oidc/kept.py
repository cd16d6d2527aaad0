"""What a provider publishes and seldom changes: kept for a while, asked for by one at a time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from src.api.errors import IdentityUnavailable
from src.api.ports import Clock

__all__ = ["FRESH_SECONDS", "Kept"]

T = TypeVar("T")

FRESH_SECONDS = 3_600.0
REST_SECONDS = 5.0
"""How long a provider that failed is not asked again."""


class Kept(Generic[T]):
    """A value that `fetch` brings. It is never used beyond its time: while there is no other, `get` raises."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: tuple[T, float] | None = None
        self._failure: tuple[str, float] | None = None

    async def get(self, fresh: float = FRESH_SECONDS) -> T:
        """The value, no older than `fresh` seconds. Raises `IdentityUnavailable`."""
        async with self._lock:
            now = self._clock.boot()
            if self._value is not None and now - self._value[1] < fresh:
                return self._value[0]
            if self._failure is not None and now - self._failure[1] < REST_SECONDS:
                raise IdentityUnavailable(self._failure[0])
            try:
                value = await self._fetch()
            except IdentityUnavailable as error:
                self._failure = (error.detail, self._clock.boot())
                raise
            self._value, self._failure = (value, self._clock.boot()), None
            return value
