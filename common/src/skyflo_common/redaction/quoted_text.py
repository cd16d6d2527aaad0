"""Redact the strings that a text quotes, such as messages in lines of JSON, each as a text of its own."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from skyflo_common.redaction.budget import Budget

__all__ = ["end_of_quoted", "redact_quoted"]

_INSIDE = {'"': re.compile(r'(?:[^"\\\n]++|\\.){0,512}'), "'": re.compile(r"[^'\n]*+"), "`": re.compile(r"[^`\n]*+")}
_TO_BLANK = re.compile(r'"[^"\\\s]*+["\\\s]?')


def end_of_quoted(text: str, at: int) -> int:
    """Return where the text in quotes that opens at `at` ends: at its closing quote, or with its line."""
    end = at + 1
    while (found := _INSIDE[text[at]].match(text, end)) and found.end() > end:
        end = found.end()
    return end


def redact_quoted(text: str, redact: Callable[[str], str], budget: Budget) -> str:
    """Redact the strings in double quotes that JSON can read and that hold blanks or escapes.

    A line break in one is written as `\\n`, so what stands at the start of a line, or is one word, is found only in
    what the string means. The rest of the text, and strings that hold no secret, stay as they are.
    """
    literals = list(_literals(text, budget))
    distinct = dict.fromkeys(meant for _, _, meant in literals)
    sentences = "\n".join(meant for meant in distinct if "\n" not in meant)
    if redact(sentences) == sentences:  # much quicker than one by one
        distinct = dict.fromkeys(meant for meant in distinct if "\n" in meant)
    redacted = {meant: redact(meant) for meant in distinct}
    parts: list[str] = []
    copied = 0
    for start, end, meant in literals:
        if redacted.get(meant, meant) != meant:
            parts += [text[copied:start], json.dumps(redacted[meant], ensure_ascii=False)]
            copied = end
    return "".join([*parts, text[copied:]]) if parts else text


def _literals(text: str, budget: Budget) -> Iterator[tuple[int, int, str]]:
    """Where the strings of JSON stand in a text, their quotes included, and what they mean."""
    at = 0
    while found := next((each for each in _TO_BLANK.finditer(text, at) if not _is_word(each[0])), None):
        start = found.start()
        end = end_of_quoted(text, start)
        at = end
        if text[end : end + 1] == '"':
            at = end + 1
            budget.count_node()
            with suppress(ValueError):  # Python's own way to write a string, for instance
                yield start, at, json.loads(text[start:at], strict=False)


def _is_word(quoted: str) -> bool:
    return len(quoted) > 1 and quoted.endswith('"')
