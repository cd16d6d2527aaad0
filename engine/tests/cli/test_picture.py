"""The picture of a session: from real events, always the same, and on its own."""

import html
import re

from src.cli.jsontypes import JsonObject
from tests.support.terminal import Shell
from tests.support.terminal_picture import Step, picture


def session(shell: Shell, name: str) -> list[Step]:
    """A real one: a change, proposed and approved."""
    asked = shell.run("chat", "--json", f"set {name}=2").events
    call = next(event for event in asked if event["type"] == "tool.awaiting_approval")
    done = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"], "--json").events
    return [("", asked), ("a", done)]


def test_a_session_is_drawn_as_the_terminal_shows_it(shell: Shell) -> None:
    drawn = picture('skyflo chat "set pa=2"', session(shell, "pa"))
    said = html.unescape(re.sub(r"<[^>]*>", "", drawn)).replace("\xa0", " ")
    for words in ("$ skyflo chat", "Waits for your approval", "Change pa from None to 2", "+2", "approved by local"):
        assert words in said


def test_the_same_session_gives_the_same_picture(shell: Shell) -> None:
    steps = session(shell, "pb")
    assert picture("skyflo chat", steps) == picture("skyflo chat", steps)


def test_the_picture_asks_no_other_host(shell: Shell) -> None:
    events: list[JsonObject] = [{"type": "token", "text": "See http://example.org and <script>."}]
    drawn = picture("skyflo chat", [("", events)])
    assert "url(" not in drawn.replace("url(#", "")
    assert "@import" not in drawn
    assert "<script" not in drawn
    assert "href=" not in drawn
