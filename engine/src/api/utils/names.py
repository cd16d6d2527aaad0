"""Check display names: text that people choose and others read next to decisions."""

import unicodedata

__all__ = ["check_name", "clean_name"]

_JOINERS = "\u200c\u200d"
"""Needed to write some scripts, and invisible elsewhere."""


def check_name(name: str) -> str:
    """Return the name without outer and repeated spaces.

    Raises `ValueError` if it is blank but not empty, or holds line breaks, control characters, or characters that hide
    or reorder text.
    """
    spaced = _with_plain_spaces(name)
    if not all(_is_visible(character) for character in spaced):
        raise ValueError("a name is one line, without control characters or invisible ones")
    if name and not spaced.strip(_JOINERS + " "):
        raise ValueError("a name has at least one visible character")
    return " ".join(spaced.split())


def clean_name(name: str, limit: int) -> str:
    """Return a name from elsewhere as one that `check_name` accepts, at most `limit` characters long."""
    visible = (character if _is_visible(character) else " " for character in _with_plain_spaces(name))
    return " ".join("".join(visible).split())[:limit].strip()


def _with_plain_spaces(name: str) -> str:
    return "".join(" " if unicodedata.category(character) == "Zs" else character for character in name)


def _is_visible(character: str) -> bool:
    return character.isprintable() or character in _JOINERS
