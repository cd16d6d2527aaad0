"""Write to the terminal: results to standard output, notes about them to standard error."""

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

__all__ = ["Terminal", "print_error", "write_json"]

_PIPED_WIDTH = 160
_PIPED_TABLE_WIDTH = 2_000


@dataclass
class Terminal:
    """The terminal of one command, with consoles that are created on first use.

    `interactive` is True if a person can be asked.
    """

    may_prompt: bool = True

    @cached_property
    def out(self) -> Console:
        return _console(sys.stdout)

    @cached_property
    def err(self) -> Console:
        return _console(sys.stderr)

    @property
    def interactive(self) -> bool:
        return self.may_prompt and sys.stdin.isatty() and sys.stdout.isatty()

    @property
    def can_redraw(self) -> bool:
        """Whether printed lines can be redrawn."""
        return self.out.is_terminal and not self.out.is_dumb_terminal

    def show(self, content: RenderableType) -> None:
        self.out.print(content)

    def show_table(self, table: Table) -> None:
        """Print one line per row, unless the terminal is too narrow for that."""
        _console(sys.stdout, _PIPED_TABLE_WIDTH).print(table)

    def note(self, line: RenderableType) -> None:
        """Print a line about what happens; to standard error, so that a pipe receives only the answer."""
        console = self.out if self.interactive else self.err
        console.print(line, soft_wrap=not console.is_terminal)

    def table(self, *columns: str) -> Table:
        """Create an empty table without borders; long cells are folded, never cut."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        table = Table(box=SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        return table


def write_json(value: Json) -> None:
    """Write one line of JSON and flush it."""
    sys.stdout.write(f"{json.dumps(value)}\n")
    sys.stdout.flush()


def print_error(message: str) -> None:
    """Print an error without loading any library."""
    mark = "✗" if "utf" in (sys.stderr.encoding or "").lower() else "x"
    sys.stderr.write(f"{mark} {message}\n")
    sys.stderr.flush()


def _console(file: TextIO, piped: int = _PIPED_WIDTH) -> Console:
    from rich.console import Console

    width = None if file.isatty() or os.environ.get("COLUMNS") else piped
    return Console(file=file, markup=False, emoji=False, highlight=False, width=width)
