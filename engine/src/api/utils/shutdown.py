"""Detect a shutdown request before the server has waited for its last response."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["shutdown_event"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def shutdown_event() -> Iterator[asyncio.Event]:
    """Return an event that SIGINT or SIGTERM sets, in addition to the server's own handling.

    A server waits for every response before it ends the application, and an event stream would never end without this.
    Outside the main thread, which can't handle signals, the event is never set.
    """
    closing = asyncio.Event()
    if threading.current_thread() is not threading.main_thread():
        yield closing
        return
    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def asked(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(closing.set)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)
        elif handler is signal.SIG_DFL:
            signal.signal(number, handler)
            signal.raise_signal(number)

    for number in _SIGNALS:
        signal.signal(number, asked)
    try:
        yield closing
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
