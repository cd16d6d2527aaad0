"""What a provider's refusal means for the engine, said without its secrets."""

import email.utils
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from src.api.errors import ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.utils.text import clean

__all__ = ["Redactor", "failure", "retry_after"]

MAX_MESSAGE = 500
MAX_RETRY_AFTER = 3_600.0

_SECRET = re.compile(
    r"(?i)\b(?:sk|pk|rk|gsk|xai|hf|r8|pplx|nvapi|ghp|glpat)[-_][\w*.\-]{6,}"  # keys by their usual beginnings
    r"|\bAIza[\w\-]{10,}|\bAKIA[A-Z0-9]{8,}"
    r"|\bbearer\s+\S+"
    r"|(?<=://)[^/\s@]+@"  # user and password in an address
    r"|(?<=[?&])(?:key|api[-_]?key|token|access_token)=[^&\s'\"]+"
)
_REFUSED = ("invalid_request", "authentication", "permission", "not_found", "invalid_api_key", "insufficient_quota")
_HINTS = {
    401: "Check the provider's API key.",
    403: "The key may not use this model.",
    404: "Check LLM_MODEL, and LLM_HOST (its path usually ends in /v1).",
}


class Redactor:
    """Takes keys out of a provider's words: the given ones, and whatever looks like one."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 4)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        text = " ".join(clean(_SECRET.sub("[redacted]", text)).split())
        return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def failure(status: int | None, kind: str, message: str, wait: float | None = None) -> ModelError:
    """The error for an HTTP status (or, inside a stream, the one that the error object names) and its kind.

    `message` is the provider's, already redacted. Without a status, anything but a plain refusal may be repeated.
    """
    said = f": {message}" if message else "."
    if status is None:
        refused = any(word in kind.lower() for word in _REFUSED)
        status = 400 if refused else 503
    if status == 429 and "insufficient_quota" not in kind:
        return ModelUnavailable(f"The model's provider asks to slow down (429){said}", wait)
    if status in (408, 504):
        return ModelTimeout(f"The model's provider ran out of time ({status}){said}", wait)
    if status == 409 or status >= 500:
        return ModelUnavailable(f"The model's provider has a problem ({status}){said}", wait)
    hint = f" {_HINTS[status]}" if status in _HINTS else ""
    return ModelRefused(f"The model's provider refused the request ({status}){said}{hint}")


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Seconds, from `retry-after-ms` or `Retry-After` (seconds or a date), at most an hour; None when not asked."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, MAX_RETRY_AFTER)
    text = headers.get("retry-after", "")
    seconds = _number(text)
    if seconds is None and text:
        seconds = _until(text, now or datetime.now(UTC))
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None


def _until(text: str, now: datetime) -> float | None:
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now.timestamp()
