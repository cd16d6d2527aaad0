"""The bus of one process: listeners are called directly, the live buffer is a few lists."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from src.api.ports import Clock, Delta, Notice, Ring, Signal

__all__ = ["LocalBus"]

OVERHEAD = 250
"""About how many bytes a delta takes in memory besides its text."""


@dataclass(slots=True)
class _Buffer:
    deltas: deque[Delta] = field(default_factory=deque)
    size: int = 0


class LocalBus:
    """`Bus` within one process.

    The live buffer keeps `keep` seconds after a run's last delta, at most about `run_bytes` of one run and `all_bytes`
    of all; the oldest goes first. What is gone is in the database as soon as its text is finished.
    """

    def __init__(
        self, clock: Clock, *, keep: float = 300, run_bytes: int = 4_000_000, all_bytes: int = 32_000_000
    ) -> None:
        self._clock = clock
        self._keep_ms = int(keep * 1000)
        self._run_bytes = run_bytes
        self._all_bytes = all_bytes
        self._size = 0
        self._buffers: OrderedDict[str, _Buffer] = OrderedDict()
        self._listeners: defaultdict[str, list[Callable[[Signal], None]]] = defaultdict(list)

    def ring(self, run_id: str) -> None:
        self._tell(Ring(run_id))

    async def publish(self, signal: Delta | Notice) -> None:
        if isinstance(signal, Notice) or self._keep(signal):
            self._tell(signal)

    @asynccontextmanager
    async def listen(self, run_id: str, hear: Callable[[Signal], None]) -> AsyncIterator[None]:
        self._forget_old(self._clock.now())
        self._listeners[run_id].append(hear)
        try:
            yield
        finally:
            self._listeners[run_id].remove(hear)
            if not self._listeners[run_id]:
                del self._listeners[run_id]

    async def buffered(self, run_id: str, n: int, end: int) -> list[Delta]:
        self._forget_old(self._clock.now())
        buffer = self._buffers.get(run_id)
        if buffer is None or not _above(buffer.deltas[-1], n, end):
            return []
        return [delta for delta in buffer.deltas if _above(delta, n, end)]

    async def check(self) -> None:
        """A process can always talk to itself."""

    def _tell(self, signal: Signal) -> None:
        for hear in self._listeners.get(signal.run_id, ()):
            hear(signal)

    def _keep(self, delta: Delta) -> bool:
        self._forget_old(delta.timestamp)
        buffer = self._buffers.get(delta.run_id)
        if buffer is None:
            buffer = self._buffers[delta.run_id] = _Buffer()
        elif not _above(delta, buffer.deltas[-1].n, buffer.deltas[-1].end):
            return False
        self._buffers.move_to_end(delta.run_id)
        buffer.deltas.append(delta)
        self._grow(buffer, delta, 1)
        while buffer.size > self._run_bytes and len(buffer.deltas) > 1:
            self._grow(buffer, buffer.deltas.popleft(), -1)
        while self._size > self._all_bytes and len(self._buffers) > 1:
            self._forget_oldest()
        return True

    def _grow(self, buffer: _Buffer, delta: Delta, sign: int) -> None:
        size = sign * (len(delta.text) + OVERHEAD)
        buffer.size += size
        self._size += size

    def _forget_old(self, now: int) -> None:
        while self._buffers:
            oldest = next(iter(self._buffers.values()))
            if oldest.deltas[-1].timestamp >= now - self._keep_ms:
                return
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        _, buffer = self._buffers.popitem(last=False)
        self._size -= buffer.size


def _above(delta: Delta, n: int, end: int) -> bool:
    return delta.n > n or (delta.n == n and delta.end > end)
