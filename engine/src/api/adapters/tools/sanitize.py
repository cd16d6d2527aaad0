"""Clean servers' texts for storage: remove unstorable characters, limit their length, and note what was cut."""

import re

from src.api.schemas.base import Json, JsonObject
from src.api.utils.text import clean, cut

__all__ = ["MAX_BLOCKS", "MAX_CONTENT", "bounded_content", "bounded_object", "clean_json", "line", "paragraph"]

MAX_CONTENT = 256 * 1024
MAX_BLOCKS = 100
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def clean_json(value: Json) -> Json:
    """Replace unstorable characters in every string and key."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_json(item) for item in value]
    if isinstance(value, dict):
        return {clean(key): clean_json(item) for key, item in value.items()}
    return value


def paragraph(text: str | None, limit: int) -> str:
    """Return about `limit` characters at most, without control and direction characters."""
    return cut(_CONTROL.sub("", clean(text or "")), limit)


def line(text: str | None, limit: int) -> str:
    """Return the text on one line, cut to `limit` characters without a note."""
    return " ".join(_CONTROL.sub("", clean(text or "")).split())[:limit]


def bounded_content(blocks: list[JsonObject], limit: int = MAX_CONTENT, *, left_out: int = 0) -> list[Json]:
    """Limit content blocks to `limit` characters in total; a note replaces what is left out.

    `left_out` blocks of the result are not among `blocks`.
    """
    kept: list[Json] = []
    left = limit
    for block in blocks[:MAX_BLOCKS]:
        fitted = _fit_block(block, left)
        left = max(0, left - _size(fitted))
        kept.append(fitted)
    if missing := max(0, len(blocks) - MAX_BLOCKS) + left_out:
        kept.append(_text_block(f"… {missing} more content blocks were left out"))
    return kept


def bounded_object(value: Json, limit: int = MAX_CONTENT) -> tuple[JsonObject | None, str | None]:
    """Return the structured result with storable characters, or None and a note if it is too large."""
    if not isinstance(value, dict):
        return None, None
    size = _size(value)
    if size > limit:
        return None, f"… the structured result ({size} characters) is larger than {limit} and was left out"
    cleaned = clean_json(value)
    return (cleaned if isinstance(cleaned, dict) else None), None


def _fit_block(block: JsonObject, left: int) -> Json:
    text = block.get("text")
    if block.get("type") == "text" and isinstance(text, str):
        return _text_block(cut(text, left))
    size = _size(block)
    if size <= left:
        return block
    resource = block.get("resource")
    if isinstance(resource, dict) and isinstance(text := resource.get("text"), str):
        shown = {key: line(value, 500) for key, value in resource.items() if key != "text" and isinstance(value, str)}
        return {"type": "resource", "resource": {**shown, "text": cut(text, left)}}
    return _text_block(f"… content of type {_describe(block)} ({size} characters) was left out")


def _describe(block: JsonObject) -> str:
    """Return a block's type, with its media type and address if it has them."""
    resource = block.get("resource")
    facts = {**block, **(resource if isinstance(resource, dict) else {})}
    parts = [line(str(value), 200) for name in ("type", "mimeType", "uri") if (value := facts.get(name))]
    return ", ".join(parts)


def _text_block(text: str) -> JsonObject:
    return {"type": "text", "text": text}


def _size(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return 2 + sum(_size(item) + 1 for item in value)
    if isinstance(value, dict):
        return 2 + sum(len(key) + _size(item) + 4 for key, item in value.items())
    return len(str(value))
