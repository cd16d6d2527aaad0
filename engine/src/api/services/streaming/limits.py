"""Limit how many streams a person has open at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from src.api.errors import TooManyRequests
from src.api.services.access import Caller

__all__ = ["MAX_FEEDS", "MAX_RUN_STREAMS", "StreamLimit"]

MAX_FEEDS = 20
"""Streams of the live feed that one person may have open in this process: each open page has one."""

MAX_RUN_STREAMS = 250
"""Streams of runs that one person may have open in this process. A script may follow many runs."""

RETRY_AFTER = 5


class StreamLimit:
    """Count the open streams of each person in this process. API tokens count for their owner."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    @property
    def open(self) -> int:
        """The number of streams that are open in this process."""
        return self._open.total()

    @contextmanager
    def slot(self, caller: Caller) -> Iterator[None]:
        """Count one stream while the block is open. Raises `TooManyRequests`."""
        if self._open[caller.id] >= self._most:
            raise TooManyRequests(
                f"You have {self._most} open streams already. Close one, for instance an old tab.",
                retry_after=RETRY_AFTER,
            )
        self._open[caller.id] += 1
        try:
            yield
        finally:
            self._open[caller.id] -= 1
            if not self._open[caller.id]:
                del self._open[caller.id]
