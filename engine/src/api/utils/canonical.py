"""Render canonical JSON: the exact bytes that a digest covers and that are executed."""

import hashlib

from skyflo_common import jsontypes
from src.api.errors import Unprocessable
from src.api.schemas.base import Json

__all__ = ["canonical", "digest_of", "sha256"]


def canonical(value: Json) -> str:
    """Render JSON with sorted keys, no white space and no unnecessary escapes.

    Raises `Unprocessable` for NaN, infinities, U+0000 and lone surrogates (`protocol.md` 6). A backslash followed by
    `u0000` is text like any other.
    """
    try:
        text = jsontypes.canonical(value)
        text.encode()
    except ValueError as error:
        raise Unprocessable("Arguments hold a number or a character that JSON can't represent.") from error
    if "\\u0000" in text and _holds_nul(value):
        raise Unprocessable("Arguments hold a NUL character, which can't be stored.")
    return text


def _holds_nul(value: Json) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, dict) and any("\x00" in key or _holds_nul(item) for key, item in value.items())


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(**parts: Json) -> str:
    """Hash the canonical JSON of what is approved with SHA-256."""
    return sha256(canonical(parts))
