"""Derive titles from first messages."""

import re

from src.api.utils.text import clean

__all__ = ["title_from_text"]

MAX_WORDS_LENGTH = 60
_FENCE = re.compile(r"```.*?(```|\Z)", re.DOTALL)
_MARKUP = re.compile(r"[`*_#>\[\]]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|[\n\r]")


def title_from_text(text: str) -> str:
    """Return the first sentence of a message as a title: one line, cut at a word, at most 61 characters."""
    plain = _MARKUP.sub("", _FENCE.sub(" ", clean(text[:4_000]))).strip()
    first = " ".join(_SENTENCE_END.split(plain, maxsplit=1)[0].split())
    if len(first) > MAX_WORDS_LENGTH:
        head, space, _ = first[: MAX_WORDS_LENGTH + 1].rpartition(" ")
        first = f"{head if space else first[:MAX_WORDS_LENGTH]}…"
    return first.rstrip(".") or "New conversation"
