"""Shorten text from its middle, with a mark that says how much is missing."""

import re
from collections.abc import Iterable

from skyflo_common.jsontypes import JsonValue

HEAD_SHARE = 1 / 3  # the cause of a chain of errors is its last part
MARK_CHARACTERS = 40
_MARK = re.compile(r"…\[\d+ (?:characters|entries) left out\]…")


def left_out_mark(count: int, what: str) -> str:
    """Return the mark for a part that was left out. `what` is `characters` or `entries`."""
    return f"…[{count} {what} left out]…"


def shorten(text: str, limit: int) -> str:
    """Keep the beginning and the end of a text that is longer than `limit` characters."""
    if len(text) <= limit:
        return text
    kept = max(limit - MARK_CHARACTERS, 20)
    head = int(kept * HEAD_SHARE)
    tail = kept - head
    return f"{text[:head]}{left_out_mark(len(text) - kept, 'characters')}{text[len(text) - tail :]}"


def one_line(text: str, limit: int) -> str:
    """Put a message on one line of at most `limit` characters."""
    return shorten(" ".join(text.split()), limit)


def name_some(names: Iterable[str], limit: int, what: str = "") -> str:
    """Name the first `limit`, and count the others. `what` names them in the plural, where that is not clear."""
    each = list(names)
    more = f" and {len(each) - limit} more {what}".rstrip() if len(each) > limit else ""
    return ", ".join(each[:limit]) + more


def find_left_out_mark(value: JsonValue) -> str | None:
    """Return the first mark in a value: text with one is not complete, so it must not be written to a cluster."""
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, str) and (found := _MARK.search(item)):
            return found.group()
        if isinstance(item, list):
            pending += item
        elif isinstance(item, dict):
            pending += [*item, *item.values()]
    return None
