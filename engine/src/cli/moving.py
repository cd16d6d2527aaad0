"""A screen that draws over its last lines: Markdown grows block by block, spinners turn below it.

A block (a paragraph, a list, a code fence) is printed for good once the next one begins, so that only a few lines ever
move and a long answer scrolls as any output does.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from src.cli.words import clean

__all__ = ["Blocks", "MovingScreen", "markdown"]

_MOST_WORKS = 8


def markdown(said: str) -> RenderableType:
    """As Markdown: links show where they lead, and raw HTML is text like any other."""
    made = Markdown(clean(said), hyperlinks=False, code_theme="ansi_dark")
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    made.parsed = parser.parse(clean(said))
    return _Trimmed(made)


class _Trimmed:
    """Without the empty lines that some blocks bring above and below."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._inner, options, pad=False)
        full = [at for at, row in enumerate(lines) if any(segment.text.strip() for segment in row)]
        for row in lines[full[0] : full[-1] + 1] if full else []:
            yield from row
            yield Segment.line()


class Blocks:
    """Splits a text that comes in pieces into blocks of Markdown that are whole, and a rest that may still grow."""

    def __init__(self) -> None:
        self.rest = ""

    def add(self, piece: str) -> str:
        """The blocks that are whole now, or nothing."""
        self.rest += piece
        cut = _last_border(self.rest)
        whole, self.rest = self.rest[:cut], self.rest[cut:]
        return whole.strip("\n")

    def take(self) -> str:
        """The rest, which is whole because nothing follows."""
        whole, self.rest = self.rest.strip("\n"), ""
        return whole


class MovingScreen:
    """Draws on a terminal that can. `live` False prints what is final and nothing else: for a picture."""

    def __init__(self, console: Console, live: bool = True) -> None:
        self._console = console
        self._blocks = Blocks()
        self._works: list[str] = []
        self._printed = False
        self._last = ""
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._moves = live

    def say(self, piece: str) -> None:
        whole = self._blocks.add(piece)
        if whole:
            self._print_block(whole)
        self._draw()

    def said(self) -> None:
        whole = self._blocks.take()
        if whole.strip():
            self._print_block(whole)
        self._printed = False

    def unsay(self) -> None:
        self._blocks.take()
        if self._printed:
            self.note(Text("! The answer begins anew.", "yellow"))
        self._printed = False

    def note(self, told: Text) -> None:
        self.said()
        self._print(told, "note")

    def show(self, what: RenderableType) -> None:
        self.said()
        self._print(what, "panel")

    def busy(self, works: list[str]) -> None:
        self._works = works
        self._draw()

    def pause(self) -> None:
        self.said()
        self._works = []
        self._last = ""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print_block(self, whole: str) -> None:
        self._print(markdown(whole), "block", apart=self._last == "block")
        self._printed = True

    def _print(self, what: RenderableType, kind: str, apart: bool = False) -> None:
        """With an empty line before it where something of another kind stands above."""
        if apart or self._last not in ("", kind):
            self._console.print()
        self._console.print(what)
        self._last = kind

    def _draw(self) -> None:
        if not self._moves:
            return
        if self._live is None:
            self._live = Live(
                get_renderable=self._moving,
                console=self._console,
                transient=True,
                refresh_per_second=10,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _moving(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._blocks.rest.strip():
            parts.append(self._growing())
        for work in self._works[:_MOST_WORKS]:
            row = Text(no_wrap=True, overflow="ellipsis")
            parts.append(row.append_text(self._turning()).append(f" {work}"))
        if len(self._works) > _MOST_WORKS:
            parts.append(Text(f"  … and {len(self._works) - _MOST_WORKS} more"))
        return Group(*parts)

    def _turning(self) -> Text:
        frame = self._spinner.render(self._console.get_time())
        return frame if isinstance(frame, Text) else Text("·")

    def _growing(self) -> RenderableType:
        """The end of it where it is higher than the terminal."""
        rows = max(3, self._console.height - _MOST_WORKS - 2)
        lines = self._blocks.rest.rstrip("\n").split("\n")
        return markdown(self._blocks.rest) if len(lines) <= rows else Text(clean("\n".join(lines[-rows:])))


def _last_border(said: str) -> int:
    """Where the last block begins: after an empty line, outside a code fence, where no list or quote goes on."""
    border, fence, empty, at = 0, "", False, 0
    for line in said.splitlines(keepends=True):
        bare = line.strip()
        if empty and not fence and bare and not line.startswith((" ", "\t")):
            border = at
        mark = bare[:3] if bare[:3] in ("```", "~~~") else ""
        if mark and (not fence or fence == mark):
            fence = "" if fence else mark
        empty = not bare
        at += len(line)
    return border
