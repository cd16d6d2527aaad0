"""A recorded session as a picture of the terminal: what `skyflo chat` shows of these events, drawn as SVG.

The same events give the same bytes, and the picture asks no other host for anything.
"""

import io
import re
from collections.abc import Iterable, Sequence

from rich.console import Console, RenderableType
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from src.cli import panels
from src.cli.cards import Card
from src.cli.jsontypes import JsonObject, number, text
from src.cli.moving import MovingScreen
from src.cli.presenter import Presenter

__all__ = ["WIDTH", "Board", "Step", "picture"]

WIDTH = 100
TITLE = "skyflo"
_FONTS = re.compile(r"@font-face\s*\{.*?\}\s*", re.DOTALL)
_FAMILY = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"

Step = tuple[str, Sequence[JsonObject]]
"""What a person types, and the events that come of it. Typed at an approval it is the letter of the answer."""


class Board:
    """A screen that shows nothing, for what only looks at a presenter."""

    def say(self, piece: str) -> None: ...

    def said(self) -> None: ...

    def unsay(self) -> None: ...

    def note(self, told: Text) -> None: ...

    def show(self, what: RenderableType) -> None: ...

    def busy(self, works: list[str]) -> None: ...

    def pause(self) -> None: ...


def picture(command: str, steps: Iterable[Step]) -> str:
    """The session as SVG.

    Args:
        command: what was typed to begin, as `skyflo chat "why is checkout failing?"`.
        steps: for each stream, what was answered to the approval before it (nothing before the first), and its events.
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
    presenter = Presenter(MovingScreen(console, live=False))
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
    for answer, events in steps:
        if answer:
            presenter.screen.pause()
            console.print(Text(f"[a]pprove, [d]eny, [s]how all, [l]eave waiting: {answer}"))
        for event in events:
            presenter.take(event)
            if text(event, "type") == "tool.awaiting_approval":
                presenter.screen.show(panels.approval(Card(event), number(event, "timestamp")))
    return _alone(console.export_svg(title=TITLE, theme=SVG_EXPORT_THEME, unique_id=TITLE))


def _alone(svg: str) -> str:
    """Without fonts from elsewhere: those of whoever looks at it will do."""
    svg = re.sub(r"\s*<!--.*?-->", "", _FONTS.sub("", svg), flags=re.DOTALL)
    svg = re.sub(r"font-family:\s*Fira Code[^;]*;", f"font-family: {_FAMILY};", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"
