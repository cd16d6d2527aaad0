"""Handle Ctrl-C during a run: the first one asks the engine to stop it, the second one exits."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from src.cli.client import EngineClient
from src.cli.errors import CliError
from src.cli.event_follower import StreamPosition

__all__ = ["InterruptHandler"]


class InterruptHandler:
    """Handles SIGINT while entered and calls `notice` at the first one.

    If the run's id is not known yet, the stop request is sent once `run_known` is called.
    """

    def __init__(self, engine: EngineClient, position: StreamPosition, notice: Callable[[], None]) -> None:
        self._engine = engine
        self._position = position
        self._notice = notice
        self._is_requested = False
        self._is_sent = False
        self._is_installed = False

    def __enter__(self) -> Self:
        """Install the handler, unless SIGINT is ignored, as in a script's background process."""
        is_main = threading.current_thread() is threading.main_thread()
        self._is_installed = is_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        if self._is_installed:
            signal.signal(signal.SIGINT, self._handle_signal)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._is_installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def run_known(self) -> None:
        """Send a stop request that had to wait for the run's id."""
        if self._is_requested and not self._is_sent and self._position.run_id:
            self._is_sent = True
            threading.Thread(target=self._request_stop, daemon=True).start()

    def _handle_signal(self, _signal: int, _frame: FrameType | None) -> None:
        if self._is_requested:
            raise KeyboardInterrupt
        self._is_requested = True
        self._notice()
        self.run_known()

    def _request_stop(self) -> None:
        """Send the stop request in a thread, so that the run's events are shown meanwhile."""
        run: dict[str, str] = {
            "conversation_id": self._position.conversation_id,
            "run_id": self._position.run_id,
        }
        with contextlib.suppress(CliError):
            self._engine.post("/agent/stop", {**run})
