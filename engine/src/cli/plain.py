"""A screen that only ever adds: for pipes, files and simple terminals."""

from __future__ import annotations

import sys

from rich.console import RenderableType
from rich.text import Text

from src.cli.console import Terminal
from src.cli.words import clean

__all__ = ["PlainScreen"]


class PlainScreen:
    """The answer goes to standard output as it comes, all else to standard error."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._open = False

    def say(self, piece: str) -> None:
        told = clean(piece)
        sys.stdout.write(told)
        sys.stdout.flush()
        self._open = not told.endswith("\n") if told else self._open

    def said(self) -> None:
        if self._open:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._open = False

    def unsay(self) -> None:
        if self._open:
            self.said()
            self.note(Text("! The answer begins anew."))

    def note(self, told: Text) -> None:
        if self._terminal.interactive:
            self.said()
        self._terminal.note(told)

    def show(self, what: RenderableType) -> None:
        self.said()
        self._terminal.show(what)

    def busy(self, works: list[str]) -> None:
        """Nothing moves here."""

    def pause(self) -> None:
        self.said()
