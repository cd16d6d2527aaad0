"""A screen that redraws its last lines while Markdown and spinners are updated.

A Markdown block (a paragraph, a list, a code fence) is printed for good once the next one begins. Only a few lines are
ever redrawn, and a long answer scrolls like any other output.
"""

from __future__ import annotations

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment
from rich.spinner import Spinner
from rich.text import Text

from src.cli.text import remove_controls

__all__ = ["BlockSplitter", "LiveScreen", "markdown"]

_MAX_ACTIVITIES = 8


def markdown(source: str) -> RenderableType:
    """Render Markdown with visible link targets; raw HTML is shown as text."""
    rendered = Markdown(remove_controls(source), hyperlinks=False, code_theme="ansi_dark")
    parser = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])
    rendered.parsed = parser.parse(remove_controls(source))
    return _Trimmed(rendered)


class _Trimmed:
    """Removes the empty lines above and below its content."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        lines = console.render_lines(self._inner, options, pad=False)
        filled = [at for at, row in enumerate(lines) if any(segment.text.strip() for segment in row)]
        for row in lines[filled[0] : filled[-1] + 1] if filled else []:
            yield from row
            yield Segment.line()


class BlockSplitter:
    """Splits streamed Markdown into complete blocks and an unfinished rest."""

    def __init__(self) -> None:
        self.unfinished = ""

    def add(self, piece: str) -> str:
        """Add a piece of text; return the blocks that are complete now, or an empty string."""
        self.unfinished += piece
        cut = _last_block_start(self.unfinished)
        block, self.unfinished = self.unfinished[:cut], self.unfinished[cut:]
        return block.strip("\n")

    def finish(self) -> str:
        """Return the unfinished rest, because no text follows."""
        block, self.unfinished = self.unfinished.strip("\n"), ""
        return block


class LiveScreen:
    """A screen for terminals that can redraw. With `live=False` only final output is printed, as for a picture."""

    def __init__(self, console: Console, live: bool = True) -> None:
        self._console = console
        self._blocks = BlockSplitter()
        self._activities: list[str] = []
        self._printed = False
        self._last_kind = ""
        self._spinner = Spinner("dots")
        self._live: Live | None = None
        self._is_live = live

    def add_text(self, piece: str) -> None:
        block = self._blocks.add(piece)
        if block:
            self._print_block(block)
        self._draw()

    def finish_text(self) -> None:
        block = self._blocks.finish()
        if block.strip():
            self._print_block(block)
        self._printed = False

    def discard_text(self) -> None:
        self._blocks.finish()
        if self._printed:
            self.note(Text("! The answer starts again.", "yellow"))
        self._printed = False

    def note(self, line: Text) -> None:
        self.finish_text()
        self._print(line, "note")

    def show(self, content: RenderableType) -> None:
        self.finish_text()
        self._print(content, "panel")

    def show_activity(self, activities: list[str]) -> None:
        self._activities = activities
        self._draw()

    def pause(self) -> None:
        self.finish_text()
        self._activities = []
        self._last_kind = ""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _print_block(self, block: str) -> None:
        self._print(markdown(block), "block", separate=self._last_kind == "block")
        self._printed = True

    def _print(self, content: RenderableType, kind: str, separate: bool = False) -> None:
        """Print something, after an empty line if the output above is of another kind."""
        if separate or self._last_kind not in ("", kind):
            self._console.print()
        self._console.print(content)
        self._last_kind = kind

    def _draw(self) -> None:
        if not self._is_live:
            return
        if self._live is None:
            self._live = Live(
                get_renderable=self._render_live,
                console=self._console,
                transient=True,
                refresh_per_second=10,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _render_live(self) -> RenderableType:
        parts: list[RenderableType] = []
        if self._blocks.unfinished.strip():
            parts.append(self._render_unfinished())
        for activity in self._activities[:_MAX_ACTIVITIES]:
            row = Text(no_wrap=True, overflow="ellipsis")
            parts.append(row.append_text(self._render_spinner()).append(f" {activity}"))
        if len(self._activities) > _MAX_ACTIVITIES:
            parts.append(Text(f"  … and {len(self._activities) - _MAX_ACTIVITIES} more"))
        return Group(*parts)

    def _render_spinner(self) -> Text:
        frame = self._spinner.render(self._console.get_time())
        return frame if isinstance(frame, Text) else Text("·")

    def _render_unfinished(self) -> RenderableType:
        """Render the unfinished block; only its end if it is higher than the terminal."""
        rows = max(3, self._console.height - _MAX_ACTIVITIES - 2)
        lines = self._blocks.unfinished.rstrip("\n").split("\n")
        return (
            markdown(self._blocks.unfinished) if len(lines) <= rows else Text(remove_controls("\n".join(lines[-rows:])))
        )


def _last_block_start(source: str) -> int:
    """Return where the last block begins: after an empty line, outside code fences and indented text."""
    start, fence, empty, at = 0, "", False, 0
    for line in source.splitlines(keepends=True):
        bare = line.strip()
        if empty and not fence and bare and not line.startswith((" ", "\t")):
            start = at
        mark = bare[:3] if bare[:3] in ("```", "~~~") else ""
        if mark and (not fence or fence == mark):
            fence = "" if fence else mark
        empty = not bare
        at += len(line)
    return start
