"""Draw a recorded `skyflo chat` session as an SVG picture of the terminal.

The same events give the same bytes, and the picture loads nothing from other hosts.
"""

import io
import re
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from src.cli import panels
from src.cli.approval_view import ApprovalView
from src.cli.jsontypes import JsonObject, number, text
from src.cli.live_screen import LiveScreen
from src.cli.presenter import Presenter

__all__ = ["WIDTH", "NullScreen", "Step", "draw_picture"]

WIDTH = 100
TITLE = "skyflo"
_FONTS = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)
_FAMILY = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

Step = tuple[str, Sequence[JsonObject]]
"""A line typed by a person and the events that follow. At an approval, the line is the letter of the answer."""


class NullScreen:
    """A screen that shows nothing, for reading a presenter's text."""

    def add_text(self, piece: str) -> None: ...

    def finish_text(self) -> None: ...

    def discard_text(self) -> None: ...

    def note(self, line: Text) -> None: ...

    def show(self, content: RenderableType) -> None: ...

    def show_activity(self, activities: list[str]) -> None: ...

    def pause(self) -> None: ...


def draw_picture(command: str, steps: Iterable[Step]) -> str:
    """Draw the session as SVG.

    Args:
        command: the first command line, such as `skyflo chat "why is checkout failing?"`.
        steps: for each stream, the answer to the approval before it (empty before the first), and its events.
    """
    console = Console(
        file=io.StringIO(),
        record=True,
        width=WIDTH,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
        markup=False,
        emoji=False,
        highlight=False,
    )
    presenter = Presenter(LiveScreen(console, live=False))
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    for answer, events in steps:
        if answer:
            presenter.screen.pause()
            console.print(Text(f"[a]pprove, [d]eny, [s]how all, [l]eave waiting: {answer}"))
        for event in events:
            presenter.apply(event)
            if text(event, "type") == "tool.awaiting_approval":
                presenter.screen.show(panels.approval_panel(ApprovalView(event), number(event, "timestamp")))
    return _remove_external_fonts(console.export_svg(title=TITLE, theme=SVG_EXPORT_THEME, unique_id=TITLE))


def _remove_external_fonts(svg: str) -> str:
    """Remove web fonts, so that the viewer's own fonts are used."""
    svg = re.sub(r"\s*<!--.*?-->", "", _FONTS.sub("", svg), flags=re.DOTALL)
    svg = re.sub(r"font-family:\s*Fira Code[^;]*;", f"font-family: {_FAMILY};", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
