"""Deliver signals to the listeners of this process."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, KeysView, Sequence

from src.api.ports import Delta, Signal

__all__ = ["LocalDelivery"]

OnSignal = Callable[[Signal], None]


class LocalDelivery:
    """The listeners of each run, and what is about to be delivered to them.

    A delta of this process that is not above the last one that its listeners got is dropped: its sender no longer owns
    the run (`protocol.md` 19).
    """

    def __init__(self) -> None:
        self._listeners: defaultdict[str, list[OnSignal]] = defaultdict(list)
        self._last: dict[str, tuple[int, int]] = {}
        self._waiting: list[Signal] = []
        self._timer: asyncio.TimerHandle | None = None

    @property
    def run_ids(self) -> KeysView[str]:
        return self._listeners.keys()

    def add(self, run_id: str, on_signal: OnSignal) -> None:
        self._listeners[run_id].append(on_signal)

    def remove(self, run_id: str, on_signal: OnSignal) -> None:
        self._listeners[run_id].remove(on_signal)
        if not self._listeners[run_id]:
            del self._listeners[run_id]
            self._last.pop(run_id, None)

    def deliver(self, signal: Signal, pause: float) -> None:
        """Deliver a signal of this process after those before it: at once, or with others within `pause` seconds."""
        if signal.run_id not in self._listeners:
            return
        self._waiting.append(signal)
        if not pause:
            self._deliver_waiting()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(pause, self._deliver_waiting)

    def deliver_foreign(self, run_id: str, signals: Sequence[Signal]) -> None:
        """Deliver signals that another process has sent."""
        for signal in signals:
            if isinstance(signal, Delta):
                self._last[run_id] = max(self._last.get(run_id, (0, 0)), (signal.n, signal.end))
            self._call(signal)

    def _deliver_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        for signal in waiting:
            if not isinstance(signal, Delta) or self._is_next(signal):
                self._call(signal)

    def _is_next(self, delta: Delta) -> bool:
        place = (delta.n, delta.end)
        if delta.run_id not in self._listeners or place <= self._last.get(delta.run_id, (0, 0)):
            return False
        self._last[delta.run_id] = place
        return True

    def _call(self, signal: Signal) -> None:
        for on_signal in self._listeners.get(signal.run_id, ()):
            on_signal(signal)
