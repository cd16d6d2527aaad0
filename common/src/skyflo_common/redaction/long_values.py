"""Find the end of values that go on over several lines by a sign of their own, not by their indentation."""

import re

__all__ = ["long_value"]

_LONGEST = 64 * 1024
_TRIPLE = re.compile(r"\"\"\"|'''")
_HERE_DOCUMENT = re.compile(r"<<[-~]?[ ]?[\"']?([A-Za-z_]{1,40})[\"']?[ \t]{0,8}\r?\n")
_MOST_LINES = 64


def long_value(text: str, at: int) -> tuple[int, int] | None:
    """Return where a value in three quotes, a here-document or a value with continued lines starts and ends."""
    while text[at : at + 1] in (" ", "\t"):
        at += 1
    limit = min(len(text), at + _LONGEST)
    if triple := _TRIPLE.match(text, at):
        end = text.find(triple.group(), triple.end(), limit)
        return triple.end(), end if end >= 0 else limit
    if opening := _HERE_DOCUMENT.match(text, at):
        closing = re.compile(rf"\n[+\- \t]{{0,200}}+{opening[1]}\b").search(text, opening.end() - 1, limit)
        return opening.end(), closing.start() if closing else limit
    end = _end_of_continued(text, at, limit)
    return (at, end) if end else None


def _end_of_continued(text: str, at: int, limit: int) -> int:
    """Where the last of the lines ends that a backslash joins, or 0 if the first one has none."""
    joined = 0
    for _ in range(_MOST_LINES):
        end = text.find("\n", at, limit)
        if end < 1 or text[at:end].rstrip("\r")[-1:] != "\\":
            return (end if end >= 0 else limit) if joined else 0
        joined, at = end, end + 1
    return joined
