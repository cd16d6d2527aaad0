"""Test titles and cursors with arbitrary input."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.agent.titles import MAX_TITLE, clean_title
from src.api.errors import BadRequest
from src.api.services.conversations.titles import title_from_text
from src.api.services.pagination import Cursor

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("List pods in default", "List pods in default"),
        ("Why is web slow? It was fine yesterday.", "Why is web slow?"),
        ("Scale it.\n\nTo three.", "Scale it"),
        ("  # **Fix** `web`  ", "Fix web"),
        ("```yaml\nkind: Pod\n```\nWhat is wrong here", "What is wrong here"),
        ("word " * 40, "word word word word word word word word word word word word…"),
        ("x" * 100, "x" * 60 + "…"),
        ("", "New conversation"),
        ("```only code```", "New conversation"),
        ("...", "New conversation"),
    ],
)
def test_title_is_derived_from_the_message(said: str, title: str) -> None:
    assert title_from_text(said) == title


@given(st.text(max_size=6_000))
def test_title_is_one_short_storable_line(said: str) -> None:
    title = title_from_text(said)
    assert 0 < len(title) <= 61
    assert len(title.splitlines()) == 1
    assert "\x00" not in title
    title.encode()


@pytest.mark.parametrize(
    ("answer", "title"),
    [
        ("Checkout restarts", "Checkout restarts"),
        ('"Checkout restarts."', "Checkout restarts"),
        ("\u201eKasse startet neu\u201c.", "Kasse startet neu"),
        ("\u00ab Redémarrages \u00bb", "Redémarrages"),
        ("Title: **Checkout restarts**", "Checkout restarts"),
        ('Titel: "Kasse startet neu"', "Kasse startet neu"),
        ("# `checkout` restarts\nIt does so because", "checkout restarts"),
        ('Restart "web" and "db"', 'Restart "web" and "db"'),
        ("<think>A title for\nthis.</think>\n\nCheckout restarts", "Checkout restarts"),
        ("<think>A title for this", None),
        ("---\n\nCheckout restarts", "Checkout restarts"),
        ("Check\x00out\x1b[2J \u202erestarts\u2066", "Check\ufffdout[2J restarts"),
        ("Zwei\u2028Zeilen", "Zwei"),
        ("Pod\tin   shop", "Pod in shop"),
        ("\u067e\u0627\u062f\u200c\u0647\u0627", "\u067e\u0627\u062f\u200c\u0647\u0627"),
        ("\u30dd\u30c3\u30c9\u306e\u518d\u8d77\u52d5\u3002", "\u30dd\u30c3\u30c9\u306e\u518d\u8d77\u52d5"),
        ("", None),
        ("...", None),
        ("\u200d\u200c", None),
        ("x" * 81, None),
        ("I'm sorry, I can't do that", None),
        ("I\u2019m unable to name this", None),
        ("I cannot name this conversation", None),
    ],
)
def test_title_is_extracted_from_the_answer(answer: str, title: str | None) -> None:
    assert clean_title(answer) == title


@given(st.text(max_size=400))
def test_any_answer_gives_one_short_line_or_no_title(answer: str) -> None:
    title = clean_title(answer)
    if title is not None:
        assert 0 < len(title) <= MAX_TITLE
        assert title == title.strip()
        assert len(title.splitlines()) == 1
        assert not {unicodedata.category(each) for each in title.replace("\u200c", "").replace("\u200d", "")} & HIDDEN


@given(st.integers(0, 10**14), st.uuids())
def test_cursor_round_trips(time: int, row: object) -> None:
    cursor = Cursor(time, str(row))
    assert Cursor.parse(str(cursor)) == cursor


@given(st.text(max_size=200))
def test_invalid_cursor_is_rejected(text: str) -> None:
    try:
        found = Cursor.parse(text)
    except BadRequest:
        return
    assert found is not None
    assert found.time < 2**63
