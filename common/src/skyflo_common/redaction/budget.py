"""Bounds on the work of one redaction; what goes beyond them is masked as a whole."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from re import Match, Pattern

__all__ = ["LONGEST_TEXT", "WINDOW", "Budget", "Exhausted", "Mask", "matches", "replace_matches"]

Mask = Callable[[str], str]
"""Turns a secret value into what may be shown of it."""

LONGEST_TEXT = 16 * 1024 * 1024
MOST_NODES = 200_000
WINDOW = 64 * 1024
"""Characters per search. A search keeps the interpreter's lock, so this bounds how long other threads wait."""
_OVERLAP = 8 * 1024


class Exhausted(Exception):
    """The work goes beyond its bounds."""


@dataclass
class Budget:
    """What one redaction may use: nodes of structure, and time where there is a deadline."""

    until: float | None = None
    """By `time.monotonic`."""
    nodes: int = MOST_NODES
    stopped: bool = False
    _checks: int = field(default=0, repr=False)

    def check(self) -> None:
        """Raise Exhausted behind the deadline."""
        if self.stopped or (self.until is not None and time.monotonic() > self.until):
            raise Exhausted

    def count_node(self) -> None:
        """Raise Exhausted for one node too many."""
        self.nodes -= 1
        if self.nodes < 0:
            raise Exhausted
        if self.until is not None and self.nodes % 64 == 0:
            self.check()


def matches(pattern: Pattern[str], text: str, budget: Budget, at: int = 0) -> Iterator[Match[str]]:
    """Find what `pattern.finditer` finds, in windows, so that other threads get their turn in between.

    A pattern must show within `_OVERLAP` characters whether it matches; a match may be longer than that.
    """
    size = len(text)
    while at < size:
        budget.check()
        end = min(size, at + WINDOW)
        found = pattern.search(text, at, end)
        if found is None:
            at = end if end == size else end - _OVERLAP
            continue
        if end < size and found.end() > end - _OVERLAP:
            if found.start() > at:
                at = found.start()
                continue
            found = pattern.match(text, at)
            if found is None:
                at += 1
                continue
        yield found
        at = max(found.end(), at + 1)


def replace_matches(pattern: Pattern[str], text: str, replace: Callable[[Match[str]], str], budget: Budget) -> str:
    """Replace what `pattern.sub` replaces, in windows."""
    parts: list[str] = []
    at = 0
    for match in matches(pattern, text, budget):
        parts += [text[at : match.start()], replace(match)]
        at = match.end()
    return "".join([*parts, text[at:]]) if parts else text
