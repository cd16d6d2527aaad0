"""A screen that only appends: for pipes, files and simple terminals."""

from __future__ import annotations

import sys

from rich.console import RenderableType
from rich.text import Text

from src.cli.console import Terminal
from src.cli.text import remove_controls

__all__ = ["PlainScreen"]


class PlainScreen:
    """Streams the answer to standard output and everything else to standard error."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._open = False

    def add_text(self, piece: str) -> None:
        text = remove_controls(piece)
        sys.stdout.write(text)
        sys.stdout.flush()
        self._open = not text.endswith("\n") if text else self._open

    def finish_text(self) -> None:
        if self._open:
            sys.stdout.write("\n")
            sys.stdout.flush()
        self._open = False

    def discard_text(self) -> None:
        if self._open:
            self.finish_text()
            self.note(Text("! The answer starts again."))

    def note(self, line: Text) -> None:
        if self._terminal.interactive:
            self.finish_text()
        self._terminal.note(line)

    def show(self, content: RenderableType) -> None:
        self.finish_text()
        self._terminal.show(content)

    def show_activity(self, activities: list[str]) -> None:
        """Do nothing: this screen shows no spinners."""

    def pause(self) -> None:
        self.finish_text()
