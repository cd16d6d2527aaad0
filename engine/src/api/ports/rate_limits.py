"""Rate limits per client and minute."""

from typing import Protocol

__all__ = ["RateLimiter"]


class RateLimiter(Protocol):
    async def hit(self, bucket: str, key: str, per_minute: int) -> int | None:
        """Count one request. Return None within the limit, else the seconds to wait."""
