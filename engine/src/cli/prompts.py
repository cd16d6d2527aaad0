"""Ask a question at the terminal that another person's decision may close."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable

__all__ = ["Prompt", "QuestionClosed"]

_WATCH_SECONDS = 2.0
_MAX_LINE = 4_000

Watch = Callable[[], str | None]
"""Returns why the question is closed, or None while it is open."""


class QuestionClosed(Exception):
    """The question was decided elsewhere or no longer applies."""


class Prompt:
    """Reads lines from the terminal. Ctrl-C and the end of the input raise `KeyboardInterrupt`."""

    def ask(self, question: str, watch: Watch | None = None) -> str:
        """Ask a question and return the typed line. Raises `QuestionClosed` when `watch` returns a reason."""
        discard_typed_ahead()
        sys.stdout.write(question)
        sys.stdout.flush()
        if watch is None or sys.platform == "win32":
            return self._read()
        while True:
            next_check = time.monotonic() + _WATCH_SECONDS
            while (remaining := next_check - time.monotonic()) > 0:
                if select.select([sys.stdin], [], [], remaining)[0]:
                    return self._read()
            closed = watch()
            if closed is not None:
                sys.stdout.write("\n")
                raise QuestionClosed(closed)

    def _read(self) -> str:
        """Read a line without buffering: a buffer would keep text typed ahead for a later question."""
        typed = bytearray()
        while not typed.endswith(b"\n") and len(typed) < _MAX_LINE:
            piece = os.read(sys.stdin.fileno(), 1 if typed else _MAX_LINE)
            if not piece:
                raise KeyboardInterrupt
            typed += piece
        return typed.decode(errors="replace").strip()


def discard_typed_ahead() -> None:
    """Discard keys that were pressed before the question was shown, since they don't answer it."""
    if sys.platform != "win32":
        import termios

        if sys.stdin.isatty():
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
