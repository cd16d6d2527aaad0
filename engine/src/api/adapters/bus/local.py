"""Implement the bus inside one process: direct calls to listeners, and a live buffer in memory."""

from collections import OrderedDict, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from src.api.ports import Clock, Delta, EphemeralEvent, QueuedRun, RunChanged, Signal

__all__ = ["LocalBus"]

OVERHEAD = 250
"""Approximate bytes that a delta takes in memory on top of its text."""


@dataclass(slots=True)
class _Buffer:
    deltas: deque[Delta] = field(default_factory=deque)
    size: int = 0


class LocalBus:
    """`Bus` within one process.

    The live buffer holds `keep` seconds after a run's last delta, at most about `run_bytes` per run and `all_bytes` in
    total. The oldest deltas are dropped first; the database has them as soon as their text is finished.
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
        self._change_listeners: list[Callable[[], None]] = []

    def notify(self, change: RunChanged) -> None:
        self._notify_listeners(change)
        for on_change in self._change_listeners:
            on_change()

    async def publish(self, signal: Delta | EphemeralEvent) -> None:
        if isinstance(signal, EphemeralEvent) or self._append_to_buffer(signal):
            self._notify_listeners(signal)

    @asynccontextmanager
    async def listen(self, run_id: str, on_signal: Callable[[Signal], None]) -> AsyncIterator[None]:
        self._drop_expired(self._clock.now())
        self._listeners[run_id].append(on_signal)
        try:
            yield
        finally:
            self._listeners[run_id].remove(on_signal)
            if not self._listeners[run_id]:
                del self._listeners[run_id]

    @asynccontextmanager
    async def listen_to_changes(self, on_change: Callable[[], None]) -> AsyncIterator[None]:
        self._change_listeners.append(on_change)
        try:
            yield
        finally:
            self._change_listeners.remove(on_change)

    def offer(self, run: QueuedRun) -> None:
        """Do nothing: no other process listens to this bus."""

    @asynccontextmanager
    async def listen_to_offers(self, on_offer: Callable[[QueuedRun], None]) -> AsyncIterator[None]:  # noqa: ARG002
        yield

    async def buffered(self, run_id: str, n: int, end: int) -> list[Delta]:
        self._drop_expired(self._clock.now())
        buffer = self._buffers.get(run_id)
        if buffer is None or not _is_after(buffer.deltas[-1], n, end):
            return []
        return [delta for delta in buffer.deltas if _is_after(delta, n, end)]

    async def check(self) -> None:
        """Do nothing: a process can always reach itself."""

    def _notify_listeners(self, signal: Signal) -> None:
        for on_signal in self._listeners.get(signal.run_id, ()):
            on_signal(signal)

    def _append_to_buffer(self, delta: Delta) -> bool:
        self._drop_expired(delta.timestamp)
        buffer = self._buffers.get(delta.run_id)
        if buffer is None:
            buffer = self._buffers[delta.run_id] = _Buffer()
        elif not _is_after(delta, buffer.deltas[-1].n, buffer.deltas[-1].end):
            return False
        self._buffers.move_to_end(delta.run_id)
        buffer.deltas.append(delta)
        self._add_size(buffer, delta, 1)
        while buffer.size > self._run_bytes and len(buffer.deltas) > 1:
            self._add_size(buffer, buffer.deltas.popleft(), -1)
        while self._size > self._all_bytes and len(self._buffers) > 1:
            self._drop_oldest()
        return True

    def _add_size(self, buffer: _Buffer, delta: Delta, sign: int) -> None:
        size = sign * (len(delta.text) + OVERHEAD)
        buffer.size += size
        self._size += size

    def _drop_expired(self, now: int) -> None:
        while self._buffers:
            oldest = next(iter(self._buffers.values()))
            if oldest.deltas[-1].timestamp >= now - self._keep_ms:
                return
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, buffer = self._buffers.popitem(last=False)
        self._size -= buffer.size


def _is_after(delta: Delta, n: int, end: int) -> bool:
    return delta.n > n or (delta.n == n and delta.end > end)
