"""Time and ids. Times in rows come from the database instead (`Transaction.now`)."""

from typing import Protocol

from skyflo_common.clock import Clock

__all__ = ["Clock", "Ids"]


class Ids(Protocol):
    def new(self) -> str:
        """Create a unique id; later ids sort after earlier ones (UUID version 7)."""
