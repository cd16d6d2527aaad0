"""Shortened text keeps both ends and says what is missing."""

from hypothesis import given
from hypothesis import strategies as st

from skyflo_tools.shortening import find_left_out_mark, one_line, shorten


def test_a_shortened_message_keeps_its_cause() -> None:
    message = f"Failed to pull image: {'rpc error: ' * 100}no such host"
    short = shorten(message, 300)
    assert short.startswith("Failed to pull image")
    assert short.endswith("no such host")
    assert find_left_out_mark(short) == f"…[{len(message) - 260} characters left out]…"


@given(st.text(max_size=600), st.integers(60, 500))
def test_shortened_text_fits_and_only_long_text_changes(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert (short == text) == (len(text) <= limit)


def test_messages_are_put_on_one_line() -> None:
    assert one_line("first\n  second\tthird ", 100) == "first second third"


def test_marks_are_found_anywhere_in_a_value() -> None:
    assert find_left_out_mark({"a": [{"b": shorten("x" * 500, 100)}]}) is not None
    assert find_left_out_mark({"…[3 entries left out]…": 1}) is not None
    assert find_left_out_mark({"a": "an ellipsis … and [brackets]"}) is None
