"""Recognise errors that say that a request is longer than the model's context window, and the size that they name."""

import re

__all__ = ["find_context_limit", "is_context_error"]

SMALLEST_WINDOW = 256
MAX_MESSAGE = 4_000

_KINDS = re.compile(r"context_length|context_window|exceed_context|string_above_max_length|tokens_limit_reached")
_TOO_LONG = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"context[ _-]?(?:length|window|size|limit)[^.]{0,200}?(?:exceed|overflow|too (?:long|large|small)|reduce)",
        r"context[ _-]?(?:length|window|size|limit)[^.]{0,200}?(?:only|(?:is|of) \d)",
        r"(?:exceed|overflow|longer than|larger than|more than)[^.]{0,200}?(?:context|max_model_len|n_ctx)",
        r"(?:exceed|longer than|larger than)[^.]{0,200}?maximum (?:model|prompt|input|allowed)[ -]?(?:input )?length",
        r"exceed[^.]{0,200}?(?:model token limit|maximum (?:allowed )?number of (?:input )?tokens|limit of \d+ tokens)",
        r"max(?:imum)? (?:context|prompt|model|input) (?:length|size|window)",
        r"(?:prompt|input|messages?|conversation)(?: is| are)? too (?:long|large)",
        r"prompt exceeds max|too many (?:input |prompt )?tokens|reduce the length|input token count",
        r"range of input length|must have less than \d+ tokens|max_new_tokens`? must be <=",
    )
)
_IS_RATE = re.compile(r"tokens? per (?:minute|day|hour)|\bTP[MD]\b|rate limit|quota", re.IGNORECASE)

_NUMBER = r"(\d{1,3}(?:[,_ ]\d{3}){1,3}|\d{1,9})"
_SIZE = r"(?:context|model|prompt|input|token)[ _-]?(?:length|window|size|limit|tokens?)|max_model_len|n_ctx"
_LIMITS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\d tokens? > {_NUMBER}",
        rf"\d \+ \d+ > {_NUMBER}",
        rf"input length should be \[\d+, {_NUMBER}",
        rf"maximum (?:allowed )?number of (?:input )?tokens[^.\d]{{0,40}}?{_NUMBER}",
        rf"(?:{_SIZE})[^.\d]{{0,60}}?(?:\b(?:is|of|to|only)\b|[=:])[^.\d]{{0,20}}{_NUMBER}",
        rf"maximum[^.\d]{{0,60}}?{_NUMBER} tokens",
        rf"{_NUMBER}(?: tokens?)?,? max(?:imum)? context",
        rf"model with {_NUMBER}",
        rf"(?:less than|not exceed|cannot exceed|<=|at most|up to|longer than)[^.\d]{{0,80}}?{_NUMBER}",
        rf"\({_NUMBER} tokens\)",
        rf"context size {_NUMBER}",
    )
)


def is_context_error(status: int | None, kind: str, message: str) -> bool:
    """Tell whether an error says that the request does not fit the model's context window."""
    text = message[:MAX_MESSAGE]
    if status in (401, 403, 404, 429) or _IS_RATE.search(text):
        return False
    return bool(_KINDS.search(kind.lower())) or any(pattern.search(text) for pattern in _TOO_LONG)


def find_context_limit(message: str) -> int | None:
    """Return the size of the context window in tokens that the message names, or None."""
    text = message[:MAX_MESSAGE]
    limits = (int(re.sub(r"\D", "", found[1])) for pattern in _LIMITS if (found := pattern.search(text)))
    return next((limit for limit in limits if limit >= SMALLEST_WINDOW), None)
