"""What servers say, made fit to keep: bounded, storable, and honest about what was cut."""

import re

from src.api.schemas.base import Json, JsonObject
from src.api.utils.text import clean, cut

__all__ = ["MAX_CONTENT", "bounded_content", "bounded_object", "clean_json", "line", "paragraph"]

MAX_CONTENT = 256 * 1024
MAX_BLOCKS = 100
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def clean_json(value: Json) -> Json:
    """The same value with every string, keys too, made storable."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean_json(item) for key, item in value.items()}
    return value


def paragraph(text: str | None, limit: int) -> str:
    """Text of at most about `limit` characters, without control and direction characters."""
    return cut(_CONTROL.sub("", clean(text or "")), limit)


def line(text: str | None, limit: int) -> str:
    """The same on one line, cut silently to a label."""
    return " ".join(_CONTROL.sub("", clean(text or "")).split())[:limit]


def bounded_content(blocks: list[JsonObject], limit: int = MAX_CONTENT) -> list[Json]:
    """Content blocks of at most `limit` characters together; what is left out leaves a sentence in its place."""
    kept: list[Json] = []
    left = limit
    for block in blocks[:MAX_BLOCKS]:
        fitted = _fit(block, left)
        left = max(0, left - _size(fitted))
        kept.append(fitted)
    if len(blocks) > MAX_BLOCKS:
        kept.append(_note(f"… {len(blocks) - MAX_BLOCKS} more content blocks were left out"))
    return kept


def bounded_object(value: Json, limit: int = MAX_CONTENT) -> tuple[JsonObject | None, str | None]:
    """The structured result, or None and the sentence that says why it is missing."""
    if not isinstance(value, dict):
        return None, None
    size = _size(value)
    if size > limit:
        return None, f"… the structured result ({size} characters) is larger than {limit} and was left out"
    return value, None


def _fit(block: JsonObject, left: int) -> Json:
    text = block.get("text")
    if block.get("type") == "text" and isinstance(text, str):
        return _note(cut(text, left))
    size = _size(block)
    if size <= left:
        return block
    return _note(f"… content of type {line(str(block.get('type')), 40)} ({size} characters) was left out")


def _note(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _size(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return 2 + sum(_size(item) + 1 for item in value)
    if isinstance(value, dict):
        return 2 + sum(len(key) + _size(item) + 4 for key, item in value.items())
    return len(str(value))
