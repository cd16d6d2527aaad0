"""What a conversation is called before anybody names it."""

import re

from src.api.utils.text import clean

__all__ = ["title_of"]

MAX_WORDS_LENGTH = 60
_FENCE = re.compile(r"```.*?(```|\Z)", re.DOTALL)
_MARKUP = re.compile(r"[`*_#>\[\]]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|[\n\r]")


def title_of(text: str) -> str:
    """A short title out of a first message: its first sentence, cut at a word, at most 61 characters, on one line."""
    plain = _MARKUP.sub("", _FENCE.sub(" ", clean(text[:4_000]))).strip()
    first = " ".join(_SENTENCE_END.split(plain, maxsplit=1)[0].split())
    if len(first) > MAX_WORDS_LENGTH:
        head, space, _ = first[: MAX_WORDS_LENGTH + 1].rpartition(" ")
        first = f"{head if space else first[:MAX_WORDS_LENGTH]}…"
    return first.rstrip(".") or "New conversation"
