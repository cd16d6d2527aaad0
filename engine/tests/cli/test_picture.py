"""Test the picture of a terminal session, drawn from real events."""

import html
import re

from src.cli.jsontypes import JsonObject
from tests.support.terminal import Shell
from tests.support.terminal_picture import Step, draw_picture


def record_session(shell: Shell, name: str) -> list[Step]:
    """Run a session in which a change is proposed and approved."""
    asked = shell.run("chat", "--json", f"set {name}=2").events
    call = next(event for event in asked if event["type"] == "tool.awaiting_approval")
    done = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"], "--json").events
    return [("", asked), ("a", done)]


def test_picture_shows_what_the_terminal_shows(shell: Shell) -> None:
    drawn = draw_picture('skyflo chat "set pa=2"', record_session(shell, "pa"))
    drawn_text = html.unescape(re.sub(r"<[^>]*>", "", drawn)).replace("\xa0", " ")
    for expected in ("$ skyflo chat", "Waits for your approval", "Change pa from None to 2", "+2", "approved by local"):
        assert expected in drawn_text


def test_same_session_gives_the_same_picture(shell: Shell) -> None:
    steps = record_session(shell, "pb")
    assert draw_picture("skyflo chat", steps) == draw_picture("skyflo chat", steps)


def test_picture_loads_nothing_from_other_hosts(shell: Shell) -> None:
    events: list[JsonObject] = [{"type": "token", "text": "See http://example.org and <script>."}]
    drawn = draw_picture("skyflo chat", [("", events)])
    assert "url(" not in drawn.replace("url(#", "")
    assert "@import" not in drawn
    assert "<script" not in drawn
    assert "href=" not in drawn
