"""Hide known secret values wherever they occur in a text, in the spellings that programs give them."""

import json
import string
from base64 import b64encode
from collections.abc import Callable, Collection, Iterator
from urllib.parse import quote

from skyflo_common.redaction.masks import MASK

__all__ = ["SHORTEST_SECRET", "KnownValues", "is_distinctive"]

SHORTEST_SECRET = 6
"""Shorter values are hidden only where a whole field equals them: a text in which every `prod` is masked is useless."""
_SHORTEST_FIELD = 4
_COMMON = frozenset(["true", "false", "null", "none"])
_SHORTEST_LINE = 16
_START = 6
_WORK_OF_SINGLE_SEARCHES = 20_000_000
"""Characters times spellings: a search for one spelling takes less than a nanosecond for each."""
_BASE64 = frozenset(string.ascii_letters + string.digits + "+/_=-")
_LONGEST_RUN = 4096


class KnownValues:
    """A set of secret values, and the search for them.

    Each value is searched for as it is, escaped as in JSON, quoted as in a URL, in hexadecimal, and inside of base64,
    whatever stands before it there. The lines of a value of several lines count as well.
    """

    def __init__(self, values: Collection[str]) -> None:
        self._whole = frozenset(
            value for value in values if len(value) >= _SHORTEST_FIELD and value.lower() not in _COMMON
        )
        self._plain: dict[str, str] = {}
        self._encoded: dict[str, str] = {}
        for value in sorted({part for whole in values for part in _parts(whole)}, key=len, reverse=True):
            for spelling in _spellings(value):
                self._plain.setdefault(spelling, value)
            for spelling in _inside_base64(value):
                self._encoded.setdefault(spelling, value)
        self._by_start: dict[str, dict[int, set[str]]] = {}

    def __bool__(self) -> bool:
        return bool(self._whole)

    def is_known(self, text: str) -> bool:
        """Tell whether the whole text is one of the values."""
        return text in self._whole

    def occurs_in(self, text: str, check: Callable[[], None]) -> bool:
        """Tell whether the text holds one of the values in any spelling."""
        return next(self._places(text, check), None) is not None

    def hide(self, text: str, mask: Callable[[str], str], check: Callable[[], None]) -> str:
        """Return the text with every occurrence masked; calls `check` now and then."""
        spans = [self._span(text, at, spelling) for at, spelling in self._places(text, check)]
        if not spans:
            return text
        parts: list[str] = []
        at = 0
        for start, end, value in _outside_masks(_merged(spans), text):
            parts += [text[at:start], mask(value)]
            at = end
        return "".join([*parts, text[at:]])

    def _span(self, text: str, at: int, spelling: str) -> tuple[int, int, str]:
        if spelling in self._plain:
            return at, at + len(spelling), self._plain[spelling]
        return *_run_around(text, at, at + len(spelling)), self._encoded[spelling]

    def _places(self, text: str, check: Callable[[], None]) -> Iterator[tuple[int, str]]:
        """Where which spelling stands. Many spellings in a long text are searched for all at once."""
        count = len(self._plain) + len(self._encoded)
        if len(text) < SHORTEST_SECRET or not count:
            return
        if count * len(text) > _WORK_OF_SINGLE_SEARCHES:
            yield from self._places_of_all(text, check)
            return
        for spelling in self._plain:
            yield from _places_of(text, spelling, 0)
        for spelling in self._encoded:
            yield from _places_of(text, spelling, _LONGEST_RUN)
        check()

    def _places_of_all(self, text: str, check: Callable[[], None]) -> Iterator[tuple[int, str]]:
        if not self._by_start:
            for spelling in (*self._plain, *self._encoded):
                self._by_start.setdefault(spelling[:_START], {}).setdefault(len(spelling), set()).add(spelling)
        at = 0
        while at < len(text) - _START + 1:
            if at % 4096 == 0:
                check()
            lengths = self._by_start.get(text[at : at + _START])
            found = lengths and next((part for n, of in lengths.items() if (part := text[at : at + n]) in of), None)
            if found:
                yield at, found
                at += len(found) - 1
            at += 1


def is_distinctive(value: str) -> bool:
    """Tell whether a value is unlike a word, so that it can be hidden elsewhere without hiding anything else."""
    kinds = sum(any(test(char) for char in value) for test in (str.islower, str.isupper, str.isdigit))
    return len(value) >= 16 or (len(value) >= 8 and kinds + (not value.isalnum()) >= 2)


def _parts(value: str) -> Iterator[str]:
    if len(value) >= SHORTEST_SECRET:
        yield value
    if len(stripped := value.strip()) >= SHORTEST_SECRET:
        yield stripped
    if "\n" in value:
        for line in value.splitlines():
            if len(line.strip()) >= _SHORTEST_LINE and not line.startswith("-----"):
                yield line.strip()


def _spellings(value: str) -> Iterator[str]:
    data = value.encode("utf-8", errors="surrogatepass")
    yield value
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield json.dumps(json.dumps(value)[1:-1])[1:-1]
    yield quote(data, safe="")
    yield quote(data)
    yield data.hex()
    yield b64encode(data).decode()


def _inside_base64(value: str) -> Iterator[str]:
    """The characters of base64 that do not depend on the bytes around the value, for each way it can be aligned."""
    data = value.encode("utf-8", errors="surrogatepass")
    for shift, skipped in ((0, 0), (1, 2), (2, 3)):
        encoded = b64encode(b"\0" * shift + data).decode()
        found = encoded[skipped : (shift + len(data)) * 8 // 6]
        yield found
        yield found.replace("+", "-").replace("/", "_")


def _places_of(text: str, spelling: str, skipped: int) -> Iterator[tuple[int, str]]:
    """The places of one spelling; of a run of base64 that is masked as a whole, its first one."""
    at = text.find(spelling)
    while at >= 0:
        yield at, spelling
        at += len(spelling)
        if skipped:
            limit = at + skipped
            while at < min(limit, len(text)) and text[at] in _BASE64:
                at += 1
        at = text.find(spelling, at)


def _run_around(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the bounds of the whole base64 text around a part of it, since the bits next to it belong to the value,
    too.
    """
    first, last = max(0, start - _LONGEST_RUN), min(len(text), end + _LONGEST_RUN)
    while start > first and text[start - 1] in _BASE64:
        start -= 1
    while end < last and text[end] in _BASE64:
        end += 1
    return start, end


def _merged(spans: list[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    merged: list[tuple[int, int, str]] = []
    for start, end, value in sorted(spans, key=lambda span: (span[0], -span[1])):
        if merged and start < merged[-1][1]:
            before = merged[-1]
            merged[-1] = (before[0], max(before[1], end), before[2])
        else:
            merged.append((start, end, value))
    return merged


def _outside_masks(spans: list[tuple[int, int, str]], text: str) -> list[tuple[int, int, str]]:
    """Return the spans outside of masks: the words of a mask may equal a known password."""
    if "masked, " not in text:
        return spans
    masks = [match.span() for match in MASK.finditer(text)]
    kept: list[tuple[int, int, str]] = []
    at = 0
    for span in spans:
        while at < len(masks) and masks[at][1] <= span[0]:
            at += 1
        if at == len(masks) or not (masks[at][0] <= span[0] and span[1] <= masks[at][1]):
            kept.append(span)
    return kept
