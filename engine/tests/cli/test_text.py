"""Test untrusted text on a terminal, Markdown blocks, panels and the event stream parser."""

import io
import json
import re

import pytest
from rich.console import Console

from src.cli.approval_view import ApprovalView
from src.cli.errors import ConnectionLost
from src.cli.live_screen import BlockSplitter, LiveScreen, markdown
from src.cli.panels import MAX_DIFF_LINES, approval_details, approval_panel, is_diff_cut
from src.cli.sse import MAX_EVENT, read_events
from src.cli.text import (
    escape_controls,
    format_arguments,
    format_duration,
    format_json,
    format_time_left,
    one_line,
    remove_controls,
)

HOSTILE = [
    "\x1b[2J\x1b[1;1H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1bPqsixel\x1b\\",
    "\x9b31m",
    "\x1b]52;c;Zm9v\x07",
    "a\rb",
    "\x08\x08\x08",
    "\u202eabc\u202c",
    "\u2066x\u2069",
    "\x1b",
    "\x1b[",
    "\x1b]never ended",
    "\x00\x07\x7f\x85",
]
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def render(what: object, width: int = 80) -> str:
    console = Console(width=width, force_terminal=True, color_system="standard", legacy_windows=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


@pytest.mark.parametrize("source", HOSTILE)
def test_formatted_text_has_no_control_characters(source: str) -> None:
    for format_text in (
        remove_controls,
        escape_controls,
        one_line,
        lambda text: format_json({"x": text}),
        lambda text: format_arguments({"x": text}),
    ):
        assert not HARMFUL.search(format_text(f"before {source} after"))


@pytest.mark.parametrize("source", HOSTILE)
def test_single_characters_are_cleaned_too(source: str) -> None:
    assert not HARMFUL.search("".join(remove_controls(character) for character in source))


def test_harmless_text_is_unchanged() -> None:
    source = "Zwölf Pods:\n\t- web ✓ 日本語 👩‍💻"
    assert remove_controls(source) == source
    assert escape_controls(source) == source


def test_control_characters_are_made_visible() -> None:
    assert escape_controls("a\x1b]0;b\x07c\u202ed\x7f") == "a␛]0;b␇c<U+202E>d␡"


def test_durations_are_readable() -> None:
    assert [format_duration(ms) for ms in (40, 9_940, 12_000, 150_000)] == ["0.0 s", "9.9 s", "12 s", "2 min 30 s"]
    assert [format_time_left(ms) for ms in (-5, 45_000, 1_800_000, 8_000_000)] == [
        "0 s",
        "45 s",
        "30 min",
        "2 h 13 min",
    ]


ANSWER = "One.\n\n- a\n\n  more of a\n- b\n\n```yaml\nx: 1\n\ny: 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nLast."


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_markdown_blocks_are_complete_for_any_piece_size(size: int) -> None:
    blocks = BlockSplitter()
    pieces = [ANSWER[at : at + size] for at in range(0, len(ANSWER), size)]
    whole = [done for piece in pieces if (done := blocks.add(piece))] + [blocks.finish()]
    assert "\n\n".join(whole) == ANSWER
    assert all(block.count("```") in (0, 2) for block in whole)


def test_markdown_shows_link_targets_and_keeps_html_as_text() -> None:
    shown = render(markdown("See [the docs](http://evil.example) and replace <name>.\n\n<b>bold</b>"))
    assert "http://evil.example" in shown
    assert "<name>" in shown
    assert "\x1b]8" not in shown


def test_discarded_text_is_not_shown() -> None:
    console = Console(width=60, record=True, file=io.StringIO())
    screen = LiveScreen(console, live=False)
    screen.add_text("Half an ans")
    screen.discard_text()
    screen.add_text("The answer.")
    screen.finish_text()
    assert console.export_text().strip() == "The answer."


def approval_with(**more: object) -> ApprovalView:
    preview = {"summary": "Delete web", "diff": "-a\n+b\n", "risk": {"level": "high", "reason": "it is gone then"}}
    return ApprovalView(
        {"call_id": "1", "tool": "k8s_delete", "title": "Delete", "risk": "high", "preview": {**preview, **more}}
    )


def test_panel_shows_target_risk_warnings_and_diff() -> None:
    where = {"cluster": "prod", "kind": "Deployment", "namespace": "shop", "name": "web"}
    shown = render(
        approval_panel(
            approval_with(
                objects=[where], warnings=["no budget"], allowed={"allowed": False, "reason": "no rights to delete"}
            ),
            0,
        )
    )
    for expected in ("Delete web", "Deployment web", "cluster prod", "namespace shop", "high: it is gone then"):
        assert expected in shown
    assert "! no budget" in shown
    assert "✗ no: no rights to delete" in shown
    assert "\x1b[31m-a" in shown
    assert "\x1b[32m+b" in shown


def test_panel_without_a_preview_shows_the_arguments() -> None:
    shown = render(
        approval_panel(ApprovalView({"tool": "x", "args": {"force": True}, "risk": "high", "preview": None}), 0)
    )
    assert "no preview" in shown
    assert '"force": true' in shown


def test_long_diff_is_cut_in_the_panel_and_complete_in_the_details() -> None:
    long = approval_with(diff="".join(f"+line {n}\n" for n in range(MAX_DIFF_LINES + 50)))
    assert is_diff_cut(long)
    assert "50 more lines" in render(approval_panel(long, 0))
    assert f"+line {MAX_DIFF_LINES + 49}" in render(approval_details(long))
    assert not is_diff_cut(approval_with())


@pytest.mark.parametrize("width", [20, 36, 300])
def test_panel_fits_any_width(width: int) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", render(approval_panel(approval_with(diff="+" + "x" * 500), 0), width))
    assert max(map(len, shown.splitlines())) <= width
    assert shown.count("x") >= 500


def test_rich_markup_in_a_summary_is_not_interpreted() -> None:
    assert "[red]" in render(approval_panel(approval_with(summary="[red]Delete[/red] [link=http://x]web[/link]"), 0))


def test_events_are_parsed_from_any_pieces() -> None:
    wire = b'retry: 1000\n\nid: r:1\nevent: token\ndata: {"type":"token","text":"\xc3\xa9"}\r\n\r\n'
    wire += b': a comment\ndata: {"a":1}\n\n'
    for size in (1, 2, 5, len(wire)):
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        assert list(read_events(pieces)) == [{"type": "token", "text": "é"}, {"a": 1}]


def test_incomplete_event_is_ignored() -> None:
    assert list(read_events([b'data: {"a":1}\n'])) == []


@pytest.mark.parametrize("wire", [b"data: nonsense\n\n", b"data: [1]\n\n", b"x" * (MAX_EVENT + 1)])
def test_invalid_stream_raises_connection_lost(wire: bytes) -> None:
    with pytest.raises(ConnectionLost):
        list(read_events([wire]))


def test_formatted_json_is_bounded() -> None:
    assert len(format_json({"x": "y" * 100_000})) < 21_000
    assert json.loads(format_json({"a": [1]})) == {"a": [1]}
