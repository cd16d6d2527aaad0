"""Take off what surrounds a text without being part of it, and put it on again.

Colours of a terminal, invisible characters, and what a log writes before each line hide from a pattern that a line
begins with a name, or that a value ends.
"""

import html
import re
from dataclasses import dataclass

__all__ = ["Dressed", "undress", "unescape_entities"]

_DRESSING = re.compile(r"[\x1b\r\u00a0\u00ad\u200b-\u200d\u2060\ufeff]|(?m:^)(?:[0-9]{4}-|\[|[IWEF][0-9]{4} )")
_INVISIBLE = re.compile(
    r"\x1b\[[0-9;?]{0,32}[ -/]{0,2}[@-~]|\x1b\][^\x07\x1b\n]{0,256}(?:\x07|\x1b\\)|\r(?=\n)"
    r"|[\u00ad\u200b-\u200d\u2060\ufeff]"
)
_PREFIX = re.compile(
    r"(?:\[[A-Za-z0-9][A-Za-z0-9./_-]{0,250}\][ \t])?"
    r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}[0-9.,]{0,10}(?:Z|[+-][0-9]{2}:?[0-9]{2})?[ \t]"
    r"|[IWEF][0-9]{4} [0-9:]{8}\.[0-9]{6}[ ]{1,8}[0-9]{1,10} [A-Za-z0-9_.-]{1,80}:[0-9]{1,6}\] )?"
)
_ENTITY = re.compile(r"&(?:quot|apos|lt|gt|amp|nbsp|#[0-9]{1,6}|#x[0-9A-Fa-f]{1,5});")


@dataclass(frozen=True, slots=True)
class Dressed:
    """A text, what it says, and what stands before each of its lines."""

    text: str
    plain: str
    prefixes: list[str]

    def show(self, redacted: str) -> str:
        """Return the redacted text with the prefixes of its lines, or the text as it was if nothing was masked.

        Lines that were masked together, and their neighbours up to the next one that stayed, have no prefix.
        """
        if redacted == self.plain:
            return self.text
        before, after = self.plain.split("\n"), redacted.split("\n")
        if len(before) == len(after):
            return "\n".join(map(str.__add__, self.prefixes, after))
        first = _same(before, after)
        last = _same(before[first:][::-1], after[first:][::-1])
        middle = after[first : len(after) - last]
        head = map(str.__add__, self.prefixes, after[:first])
        tail = map(str.__add__, self.prefixes[len(before) - last :], after[len(after) - last :])
        return "\n".join([*head, *middle, *tail])


def undress(text: str) -> Dressed | None:
    """Return what the text says, or None if it is that already."""
    if _DRESSING.search(text) is None:
        return None
    lines = _INVISIBLE.sub("", text).replace("\u00a0", " ").split("\n")
    prefixes = [found[0] if (found := _PREFIX.match(line)) else "" for line in lines]
    plain = "\n".join(line[len(prefix) :] for line, prefix in zip(lines, prefixes, strict=True))
    return Dressed(text, plain, prefixes) if plain != text else None


def unescape_entities(text: str) -> str:
    """Return a text that was escaped for HTML or XML as it was before."""
    return _ENTITY.sub(lambda entity: html.unescape(entity[0]), text) if "&" in text else text


def _same(before: list[str], after: list[str]) -> int:
    """How many lines are the same from the start."""
    pairs = enumerate(zip(before, after, strict=False))
    return next((number for number, (one, other) in pairs if one != other), min(len(before), len(after)))
