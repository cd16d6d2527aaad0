"""Asking a person, while somebody else may answer first."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable

__all__ = ["Elsewhere", "Prompt"]

_LOOK_SECONDS = 2.0
_MAX_LINE = 4_000

Watch = Callable[[], str | None]
"""Looks whether the question still stands; else says why it does not."""


class Elsewhere(Exception):
    """The question was answered somewhere else, or is no longer one."""


class Prompt:
    """Reads lines from the terminal. `KeyboardInterrupt` passes through; the end of the input is one too."""

    def ask(self, question: str, watch: Watch | None = None) -> str:
        """The line that was typed, without its end. Raises `Elsewhere` as soon as `watch` says why."""
        forget_typed()
        sys.stdout.write(question)
        sys.stdout.flush()
        if watch is None or sys.platform == "win32":
            return self._read()
        while True:
            due = time.monotonic() + _LOOK_SECONDS
            while (left := due - time.monotonic()) > 0:
                if select.select([sys.stdin], [], [], left)[0]:
                    return self._read()
            over = watch()
            if over is not None:
                sys.stdout.write("\n")
                raise Elsewhere(over)

    def _read(self) -> str:
        """Straight from the system: a buffer in between would keep what was typed ahead for a later question."""
        typed = bytearray()
        while not typed.endswith(b"\n") and len(typed) < _MAX_LINE:
            piece = os.read(sys.stdin.fileno(), 1 if typed else _MAX_LINE)
            if not piece:
                raise KeyboardInterrupt
            typed += piece
        return typed.decode(errors="replace").strip()


def forget_typed() -> None:
    """A key that was pressed before the question was there is no answer to it."""
    if sys.platform != "win32":
        import termios

        if sys.stdin.isatty():
            termios.tcflush(sys.stdin.fileno(), termios.TCIFLUSH)
