"""Redact the strings that a text quotes, such as messages in lines of JSON, each as a text of its own."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from re import Pattern

from skyflo_common.redaction.budget import Budget

__all__ = ["end_of_quoted", "redact_quoted"]

_INSIDE = {'"': re.compile(r'(?:[^"\\\n]++|\\.){0,512}'), "'": re.compile(r"[^'\n]*+"), "`": re.compile(r"[^`\n]*+")}
_INSIDE_LITERAL = {**_INSIDE, "'": re.compile(r"(?:[^'\\\n]++|\\.){0,512}")}
_TO_BLANK = re.compile(
    r"\"[^\"\\\s]*+[\"\\\s]?|(?<![A-Za-z0-9_])'[^'\\\s]*+['\\\s]?|`[^`\s]*+[`\s]?"  # an apostrophe opens nothing
)
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))")
_MEANT = {"n": "\n", "t": "\t", "r": "\r"}
_WRITTEN = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"})


def end_of_quoted(text: str, at: int, inside: Mapping[str, Pattern[str]] = _INSIDE) -> int:
    """Return where the text in quotes that opens at `at` ends: at its closing quote, or with its line."""
    end = at + 1
    while (found := inside[text[at]].match(text, end)) and found.end() > end:
        end = found.end()
    return end


def redact_quoted(text: str, redact: Callable[[str], str], budget: Budget) -> str:
    """Redact the strings in quotes that hold blanks or escapes, as JSON, Python, Go and shells write them.

    A line break in one is written as `\\n`, so what stands at the start of a line, or is one word, is found only in
    what the string means. The rest of the text, and strings that hold no secret, stay as they are.
    """
    literals = list(_literals(text, budget))
    if not literals:
        return text
    distinct = dict.fromkeys(meant for _, _, meant in literals)
    sentences = "\n".join(meant for meant in distinct if "\n" not in meant)
    if redact(sentences) == sentences:  # much quicker than one by one
        distinct = dict.fromkeys(meant for meant in distinct if "\n" in meant)
    redacted = {meant: redact(meant) for meant in distinct}
    parts: list[str] = []
    copied = 0
    for start, end, meant in literals:
        shown = redacted.get(meant, meant)
        if shown != meant:
            parts += [text[copied:start], _write(shown, text[start])]
            copied = end
    return "".join([*parts, text[copied:]]) if parts else text


def _literals(text: str, budget: Budget) -> Iterator[tuple[int, int, str]]:
    """Where the strings stand in a text, their quotes included, and what they mean."""
    at = 0
    unclosed: dict[str, int] = {}
    while found := next((each for each in _TO_BLANK.finditer(text, at) if not _is_word(each[0])), None):
        start, quote = found.start(), text[found.start()]
        at = start + 1
        if start < unclosed.get(quote, 0):
            continue
        end = end_of_quoted(text, start, _INSIDE_LITERAL)
        if text[end : end + 1] == quote:
            at = end + 1
            budget.count_node()
            yield start, at, _read(text[start:at])
        else:
            unclosed[quote] = end


def _is_word(quoted: str) -> bool:
    return len(quoted) > 1 and quoted[-1] == quoted[0]


def _read(literal: str) -> str:
    """What a string means. One that JSON can't read is read as Python and Go write it."""
    if "\\" not in literal or literal[0] == "`":
        return literal[1:-1]
    try:
        return str(json.loads(literal, strict=False))
    except ValueError:
        return _ESCAPE.sub(_meant, literal[1:-1])


def _meant(escape: re.Match[str]) -> str:
    code = escape[1] or escape[2]
    return chr(int(code, 16)) if code else _MEANT.get(escape[3], escape[3])


def _write(meant: str, quote: str) -> str:
    if quote == '"':
        return json.dumps(meant, ensure_ascii=False)
    return quote + (meant.translate(_WRITTEN) if quote == "'" else meant) + quote
