"""Foreign text on a terminal, Markdown in blocks, and streams in pieces."""

import io
import json
import re

import pytest
from rich.console import Console

from src.cli.cards import Card
from src.cli.errors import Cut
from src.cli.moving import Blocks, MovingScreen, markdown
from src.cli.panels import MOST_LINES, approval, details, is_cut
from src.cli.sse import MAX_EVENT, read
from src.cli.words import arguments, clean, clock, line, pretty, seconds, visible

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


def drawn(what: object, width: int = 80) -> str:
    console = Console(width=width, force_terminal=True, color_system="standard", legacy_windows=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


@pytest.mark.parametrize("said", HOSTILE)
def test_nothing_harmful_is_left(said: str) -> None:
    for made_safe in (clean, visible, line, lambda text: pretty({"x": text}), lambda text: arguments({"x": text})):
        assert not HARMFUL.search(made_safe(f"before {said} after"))


@pytest.mark.parametrize("said", HOSTILE)
def test_pieces_are_as_safe_as_the_whole(said: str) -> None:
    assert not HARMFUL.search("".join(clean(character) for character in said))


def test_what_is_harmless_stays() -> None:
    said = "Zwölf Pods:\n\t- web ✓ 日本語 👩‍💻"
    assert clean(said) == said
    assert visible(said) == said


def test_what_is_to_be_approved_shows_what_it_hides() -> None:
    assert visible("a\x1b]0;b\x07c\u202ed\x7f") == "a␛]0;b␇c<U+202E>d␡"


def test_numbers_are_for_people() -> None:
    assert [seconds(ms) for ms in (40, 9_940, 12_000, 150_000)] == ["0.0 s", "9.9 s", "12 s", "2 min 30 s"]
    assert [clock(ms) for ms in (-5, 45_000, 1_800_000, 8_000_000)] == ["0 s", "45 s", "30 min", "2 h 13 min"]


ANSWER = "One.\n\n- a\n\n  more of a\n- b\n\n```yaml\nx: 1\n\ny: 2\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\nLast."


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_blocks_are_whole_however_the_text_is_cut(size: int) -> None:
    blocks = Blocks()
    pieces = [ANSWER[at : at + size] for at in range(0, len(ANSWER), size)]
    whole = [done for piece in pieces if (done := blocks.add(piece))] + [blocks.take()]
    assert "\n\n".join(whole) == ANSWER
    assert all(block.count("```") in (0, 2) for block in whole)


def test_markdown_says_where_a_link_leads_and_keeps_what_looks_like_html() -> None:
    told = drawn(markdown("See [the docs](http://evil.example) and replace <name>.\n\n<b>bold</b>"))
    assert "http://evil.example" in told
    assert "<name>" in told
    assert "\x1b]8" not in told


def test_an_answer_that_begins_anew_is_not_shown_twice() -> None:
    console = Console(width=60, record=True, file=io.StringIO())
    screen = MovingScreen(console, live=False)
    screen.say("Half an ans")
    screen.unsay()
    screen.say("The answer.")
    screen.said()
    assert console.export_text().strip() == "The answer."


def card(**more: object) -> Card:
    preview = {"summary": "Delete web", "diff": "-a\n+b\n", "risk": {"level": "high", "reason": "it is gone then"}}
    return Card(
        {"call_id": "1", "tool": "k8s_delete", "title": "Delete", "risk": "high", "preview": {**preview, **more}}
    )


def test_a_panel_tells_what_a_person_needs() -> None:
    where = {"cluster": "prod", "kind": "Deployment", "namespace": "shop", "name": "web"}
    told = drawn(
        approval(
            card(objects=[where], warnings=["no budget"], allowed={"allowed": False, "reason": "no rights to delete"}),
            0,
        )
    )
    for words in ("Delete web", "Deployment web", "cluster prod", "namespace shop", "high: it is gone then"):
        assert words in told
    assert "! no budget" in told
    assert "✗ no: no rights to delete" in told
    assert "\x1b[31m-a" in told
    assert "\x1b[32m+b" in told


def test_a_change_without_a_preview_says_so_and_shows_its_arguments() -> None:
    told = drawn(approval(Card({"tool": "x", "args": {"force": True}, "risk": "high", "preview": None}), 0))
    assert "no preview" in told
    assert '"force": true' in told


def test_a_diff_too_long_for_the_panel_is_shown_whole_on_demand() -> None:
    long = card(diff="".join(f"+line {n}\n" for n in range(MOST_LINES + 50)))
    assert is_cut(long)
    assert "50 more lines" in drawn(approval(long, 0))
    assert f"+line {MOST_LINES + 49}" in drawn(details(long))
    assert not is_cut(card())


@pytest.mark.parametrize("width", [20, 36, 300])
def test_a_panel_fits_any_width(width: int) -> None:
    told = re.sub(r"\x1b\[[0-9;]*m", "", drawn(approval(card(diff="+" + "x" * 500), 0), width))
    assert max(map(len, told.splitlines())) <= width
    assert told.count("x") >= 500


def test_markup_of_others_means_nothing() -> None:
    assert "[red]" in drawn(approval(card(summary="[red]Delete[/red] [link=http://x]web[/link]"), 0))


def test_events_come_out_of_any_pieces() -> None:
    wire = b'retry: 1000\n\nid: r:1\nevent: token\ndata: {"type":"token","text":"\xc3\xa9"}\r\n\r\n'
    wire += b': a comment\ndata: {"a":1}\n\n'
    for size in (1, 2, 5, len(wire)):
        pieces = [wire[at : at + size] for at in range(0, len(wire), size)]
        assert list(read(pieces)) == [{"type": "token", "text": "é"}, {"a": 1}]


def test_half_an_event_is_none() -> None:
    assert list(read([b'data: {"a":1}\n'])) == []


@pytest.mark.parametrize("wire", [b"data: nonsense\n\n", b"data: [1]\n\n", b"x" * (MAX_EVENT + 1)])
def test_what_is_no_stream_of_an_engine_is_cut(wire: bytes) -> None:
    with pytest.raises(Cut):
        list(read([wire]))


def test_json_of_others_is_bounded() -> None:
    assert len(pretty({"x": "y" * 100_000})) < 21_000
    assert json.loads(pretty({"a": [1]})) == {"a": [1]}
