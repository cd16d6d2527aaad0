"""The two ends of the terminal: what was asked for goes to standard output, all that is said about it to the other."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from src.cli.jsontypes import Json

__all__ = ["Terminal", "say_error", "write_json"]

_PIPED_WIDTH = 160
_PIPED_ROW = 2_000


@dataclass
class Terminal:
    """Made once for a command. `interactive`: a person can be asked something."""

    asks: bool = True

    @cached_property
    def out(self) -> Console:
        return _console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        return _console(sys.stderr)

    @property
    def interactive(self) -> bool:
        return self.asks and sys.stdin.isatty() and sys.stdout.isatty()

    @property
    def moves(self) -> bool:
        """Whether lines can be drawn over: a terminal that is more than a typewriter."""
        return self.out.is_terminal and not self.out.is_dumb_terminal

    def show(self, what: RenderableType) -> None:
        self.out.print(what)

    def show_table(self, table: Table) -> None:
        """A row a line, except where a person's terminal is too narrow for that."""
        _console(sys.stdout, _PIPED_ROW).print(table)

    def note(self, said: RenderableType) -> None:
        """A line about what happens: beside the answer, so that a pipe gets the answer alone."""
        console = self.out if self.interactive else self.err
        console.print(said, soft_wrap=not console.is_terminal)

    def table(self, *columns: str) -> Table:
        """An empty table: no lines around it, and no column cut off without a mark."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        made = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            made.add_column(column, overflow="fold")
        return made


def write_json(value: Json) -> None:
    """A line of JSON for another program, out at once."""
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def say_error(message: str) -> None:
    """Plain, so that it needs nothing to be loaded."""
    mark = "✗" if "utf" in (sys.stderr.encoding or "").lower() else "x"
    sys.stderr.write(f"{mark} {message}\n")
    sys.stderr.flush()


def _console(file: TextIO, piped: int = _PIPED_WIDTH) -> Console:
    from rich.console import Console

    width = None if file.isatty() or os.environ.get("COLUMNS") else piped
    return Console(file=file, markup=False, emoji=False, highlight=False, width=width)
