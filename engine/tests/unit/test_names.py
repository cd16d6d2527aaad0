"""Display names: one visible line, whatever script it is written in."""

import pytest

from src.api.utils.names import check_name, clean_name


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Ana", "Ana"),
        ("", ""),
        ("  Ana \u00a0 B.  ", "Ana B."),
        ("山田\u3000太郎", "山田 太郎"),
        ("مهدی\u200cپور", "مهدی\u200cپور"),
        ("Zoë O'Brien-Łuk 👩\u200d🚀", "Zoë O'Brien-Łuk 👩\u200d🚀"),
    ],
)
def test_names_of_all_scripts_are_kept(given: str, kept: str) -> None:
    assert check_name(given) == kept
    assert clean_name(given, 200) == kept


CONTROLS = ["\n", "\r", "\t", "\x00", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"]
DIRECTIONS = [
    "\u202a",
    "\u202b",
    "\u202d",
    "\u202e",
    "\u2066",
    "\u2067",
    "\u2068",
    "\u2069",
    "\u200e",
    "\u200f",
    "\u061c",
]
INVISIBLE = ["\u200b", "\u2060", "\ufeff", "\u00ad", "\U000e0041", "\ud800"]


@pytest.mark.parametrize("hidden", [*CONTROLS, *DIRECTIONS, *INVISIBLE])
def test_characters_that_hide_or_reorder_text_are_refused(hidden: str) -> None:
    with pytest.raises(ValueError, match="one line"):
        check_name(f"Ana{hidden}policy:default-reads")
    assert clean_name(f"Ana{hidden}B.", 200) == "Ana B."


@pytest.mark.parametrize("blank", [" ", "\u00a0\u3000", "\u200d", " \u200c "])
def test_blank_names_are_refused(blank: str) -> None:
    with pytest.raises(ValueError, match="visible"):
        check_name(blank)


def test_foreign_name_is_bounded() -> None:
    assert clean_name("x" * 1000, 200) == "x" * 200
