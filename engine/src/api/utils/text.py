"""Text from outside: what every database can hold, and no more of it than is wanted."""

import re

__all__ = ["clean", "cut"]

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def clean(text: str) -> str:
    """U+0000 and lone surrogates become U+FFFD: PostgreSQL refuses the one, UTF-8 the other."""
    return _UNSTORABLE.sub("\ufffd", text)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters and a note that says how many are missing."""
    return text if len(text) <= limit else f"{text[:limit]}\n… {len(text) - limit} more characters were cut"
