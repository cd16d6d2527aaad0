"""Ctrl-C while a run works: the first one asks the engine to stop it, the second one leaves."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Self

from src.cli.client import Engine
from src.cli.errors import CliError
from src.cli.following import Position

__all__ = ["Stopping"]


class Stopping:
    """While entered, Ctrl-C is handled. `notice` is called at the first one, from wherever the program is.

    The run may not be known yet: it is stopped once `known` says that it is.
    """

    def __init__(self, engine: Engine, position: Position, notice: Callable[[], None]) -> None:
        self._engine = engine
        self._position = position
        self._notice = notice
        self._wanted = False
        self._sent = False
        self._handles = False

    def __enter__(self) -> Self:
        """What was started in the background of a script ignores Ctrl-C, and goes on doing so."""
        is_main = threading.current_thread() is threading.main_thread()
        self._handles = is_main and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        if self._handles:
            signal.signal(signal.SIGINT, self._interrupted)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._handles:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def known(self) -> None:
        """The run's id is in the position now."""
        if self._wanted and not self._sent and self._position.run_id:
            self._sent = True
            threading.Thread(target=self._stop, daemon=True).start()

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if self._wanted:
            raise KeyboardInterrupt
        self._wanted = True
        self._notice()
        self.known()

    def _stop(self) -> None:
        """In a thread of its own: the run's events go on being shown, and say how it ended."""
        run: dict[str, str] = {
            "conversation_id": self._position.conversation_id,
            "run_id": self._position.run_id,
        }
        with contextlib.suppress(CliError):
            self._engine.post("/agent/stop", {**run})
