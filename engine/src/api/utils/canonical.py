"""Canonical JSON: the very bytes that a digest covers and that are executed."""

import hashlib
import json

from src.api.errors import Unprocessable
from src.api.schemas.base import Json

__all__ = ["canonical", "digest_of", "sha256"]


def canonical(value: Json) -> str:
    """JSON with sorted keys, no white space and no escapes that UTF-8 can do without.

    Raises `Unprocessable` for NaN, infinities, U+0000 and lone surrogates (`protocol.md` 6).
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError as error:
        raise Unprocessable("Arguments hold a number or a character that JSON can't carry.") from error
    if "\\u0000" in text:
        raise Unprocessable("Arguments hold a NUL character, which can't be stored.")
    return text


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(**parts: Json) -> str:
    """SHA-256 over the canonical JSON of what is approved."""
    return sha256(canonical(parts))
