"""Clean, join and cut text from outside, so that every database can hold it."""

import re

__all__ = ["clean", "cut", "join_characters"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_ESCAPED_BYTES = re.compile("[\udc80-\udcff]+")


def clean(text: str) -> str:
    """Replace U+0000, which PostgreSQL refuses, and lone surrogates, which UTF-8 refuses, by U+FFFD."""
    return _UNSTORABLE.sub("\ufffd", join_characters(text))


def join_characters(text: str) -> str:
    """Join the halves of characters: surrogate pairs, and bytes of UTF-8 that Python's `surrogateescape` kept.

    What has no other half stays as it is.
    """
    if text.isascii():
        return text
    text = _PAIR.sub(lambda pair: pair[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le"), text)
    return _ESCAPED_BYTES.sub(_decode_escaped, text)


def _decode_escaped(found: re.Match[str]) -> str:
    return found[0].encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")


def cut(text: str, limit: int) -> str:
    """Cut to `limit` characters, with a note that says how many are missing."""
    return text if len(text) <= limit else f"{text[:limit]}\n… {len(text) - limit} more characters were cut"
