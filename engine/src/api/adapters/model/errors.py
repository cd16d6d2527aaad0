"""Convert providers' errors to `ModelError`, without the secrets in their text."""

import ast
import email.utils
import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import cast

from src.api.adapters.model.context_errors import find_context_limit, is_context_error
from src.api.errors import ModelContextExceeded, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.schemas.base import Json, JsonObject
from src.api.utils.text import clean

__all__ = ["ErrorRedactor", "build_error", "describe_error", "parse_error", "retry_after"]

MAX_MESSAGE = 500
MAX_RETRY_AFTER = 3_600.0
MAX_DESCRIBED = 20_000
MAX_DEPTH = 6
MAX_ITEMS = 10

_SECRET = re.compile(
    r"(?i)\b(?:sk|pk|rk|gsk|xai|hf|r8|pplx|nvapi|ghp|glpat)[-_][\w*.\-]{6,}"  # keys with well-known prefixes
    r"|\bAIza[\w\-]{10,}|\bAKIA[A-Z0-9]{8,}"
    r"|\bbearer\s+\S+"
    r"|(?<=://)[^/\s@]+@"  # user and password in a URL
    r"|(?<=[?&])(?:key|api[-_]?key|token|access_token)=[^&\s'\"]+"
)
_BYTES_LITERAL = re.compile(r"""(?<![\w])b(['"])""")
_JSON_START = re.compile(r"[{\[]\s{0,20}[\"'{\[]")
_STATUS_PREFIX = re.compile(r"(?:Error code: \d{3} - )\Z")
_MESSAGE_NAMES = ("error", "message", "detail", "msg", "error_message", "errors", "error_msg", "title", "reason")
_REFUSED = ("invalid_request", "authentication", "permission", "not_found", "invalid_api_key", "insufficient_quota")
_HINTS = {
    401: "Check the provider's API key.",
    403: "The key may not use this model.",
    404: "Check LLM_MODEL, and LLM_HOST (its path usually ends in /v1).",
}


class ErrorRedactor:
    """Replace the given secrets, and text that looks like a key, in a provider's error message."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        self._secrets = tuple(secret for secret in secrets if len(secret) >= 4)

    def __call__(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "[redacted]")
        text = " ".join(clean(_SECRET.sub("[redacted]", text)).split())
        return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}…"


def build_error(status: int | None, kind: str, message: str, wait: float | None = None) -> ModelError:
    """Build the error for an HTTP status, or for the kind that an error object inside a stream names.

    `message` is the provider's, already redacted. Without a status, every kind except a plain refusal is retryable.
    """
    quoted = f": {message}" if message else "."
    if is_context_error(status, kind, message):
        return ModelContextExceeded(f"The conversation is too long for the model{quoted}", find_context_limit(message))
    if status is None:
        refused = any(word in kind.lower() for word in _REFUSED)
        status = 400 if refused else 503
    if status == 429 and "insufficient_quota" not in kind:
        return ModelUnavailable(f"The model's provider asks for fewer requests (429){quoted}", wait)
    if status in (408, 504):
        return ModelTimeout(f"The model's provider timed out ({status}){quoted}", wait)
    if status == 409 or status >= 500:
        return ModelUnavailable(f"The model's provider failed ({status}){quoted}", wait)
    hint = f" {_HINTS[status]}" if status in _HINTS else ""
    return ModelRefused(f"The model's provider refused the request ({status}){quoted}{hint}")


def parse_error(event: Json, status: int | None, redact: ErrorRedactor, wait: float | None = None) -> ModelError:
    """Convert a provider's error to a `ModelError`, wherever it puts message, code and type."""
    if isinstance(event, list) and event:
        event = event[0]  # Gemini's compatible API answers with a list of one error
    body = event if isinstance(event, dict) else {}
    error = body.get("error") or body
    error = error if isinstance(error, dict) else body
    code = error.get("code") or error.get("status")
    if status is None and str(code).isdecimal() and 400 <= int(str(code)) < 600:
        status = int(str(code))
    kind = " ".join(value for name in ("type", "code", "status") if isinstance(value := error.get(name), str))
    message = describe_error(event)
    if isinstance(size := error.get("n_ctx"), int):
        message = f"{message} (context size {size} tokens)"  # llama.cpp
    return build_error(status, kind, redact(message), wait)


def describe_error(value: Json, depth: int = 0) -> str:
    """Return the sentence in an error's body: text, JSON in a text, Python's bytes, or lists of problems by place."""
    if depth > MAX_DEPTH:
        return ""
    if isinstance(value, str):
        return _describe_text(value, depth)
    if isinstance(value, list):
        return "; ".join(text for item in value[:MAX_ITEMS] if (text := describe_error(item, depth + 1)))
    if isinstance(value, dict):
        return _describe_object(value, depth) or ("" if depth else json.dumps(value))
    return ""


def _describe_text(text: str, depth: int) -> str:
    """Describe JSON that stands in a text, such as `Error: {"message": ...}`; other text stays as it is."""
    text = _decode_bytes_literal(text[:MAX_DESCRIBED])
    start = _JSON_START.search(text)
    if start is None:
        return text
    inner = describe_error(_decode_object(text, start.start()), depth + 1)
    before = _STATUS_PREFIX.sub("", text[: start.start()])
    return f"{before}{inner}" if inner else text


def _decode_object(text: str, start: int) -> Json:
    """Decode JSON that begins there, or Python's notation of an object up to the end of the text; None for others."""
    try:
        return cast(Json, json.JSONDecoder().raw_decode(text, start)[0])
    except (ValueError, RecursionError):
        pass
    try:
        value = ast.literal_eval(text[start:].strip())
        return cast(Json, json.loads(json.dumps(value)))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _decode_bytes_literal(text: str) -> str:
    """Replace bytes in Python's notation (`b'...'`) by their text."""
    found = _BYTES_LITERAL.search(text)
    if found is None:
        return text
    end = text.rfind(found[1])
    try:
        value = ast.literal_eval(text[found.start() : end + 1])
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return text[: found.start()] + value.decode(errors="replace") if isinstance(value, bytes) else text


def _describe_object(error: JsonObject, depth: int) -> str:
    place = error.get("loc")
    if isinstance(place, list) and isinstance(error.get("msg"), str):
        return f"{'.'.join(map(str, place))}: {error['msg']}"
    texts = (describe_error(error.get(name), depth + 1) for name in _MESSAGE_NAMES)
    text = next((text for text in texts if text), "")
    metadata = error.get("metadata")  # OpenRouter quotes the provider's own error there
    raw = describe_error(metadata.get("raw"), depth + 1) if isinstance(metadata, dict) else ""
    return f"{text}: {raw}" if raw and raw not in text else text


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds in `retry-after-ms` or `Retry-After` (seconds or a date), an hour at most, or None."""
    milliseconds = _parse_number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, MAX_RETRY_AFTER)
    text = headers.get("retry-after", "")
    seconds = _parse_number(text)
    if seconds is None and text:
        seconds = _seconds_until(text, now or datetime.now(UTC))
    return None if seconds is None else min(max(seconds, 0.0), MAX_RETRY_AFTER)


def _parse_number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text.strip()) else None


def _seconds_until(text: str, now: datetime) -> float | None:
    try:
        when = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now.timestamp()
