"""The active policy."""

from typing import Protocol

from src.api.schemas.policy import ActivePolicy

__all__ = ["Policies"]


class Policies(Protocol):
    async def current(self) -> ActivePolicy:
        """Return the active policy, after reading any change. Never raises: a failure is its `problem`."""
