"""Titles and cursors: small, pure, and never surprised by what people send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.errors import BadRequest
from src.api.services.paging import Cursor
from src.api.services.titles import title_of


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
def test_titles(said: str, title: str) -> None:
    assert title_of(said) == title


@given(st.text(max_size=6_000))
def test_a_title_is_one_short_line_that_can_be_stored(said: str) -> None:
    title = title_of(said)
    assert 0 < len(title) <= 61
    assert len(title.splitlines()) == 1
    assert "\x00" not in title
    title.encode()


@given(st.integers(0, 10**14), st.uuids())
def test_a_cursor_comes_back_as_it_went(time: int, row: object) -> None:
    cursor = Cursor(time, str(row))
    assert Cursor.parse(str(cursor)) == cursor


@given(st.text(max_size=200))
def test_any_other_text_is_refused(text: str) -> None:
    try:
        found = Cursor.parse(text)
    except BadRequest:
        return
    assert found is not None
    assert found.time < 2**63
