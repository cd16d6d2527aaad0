"""Redact large values without blocking the event loop."""

import asyncio
import time
from collections.abc import Callable, Collection
from typing import TypeVar

from skyflo_common.jsontypes import Json, JsonObject
from skyflo_common.redaction.budget import Budget
from skyflo_common.redaction.redactor import Redactor

__all__ = [
    "LARGE",
    "find_hidden_values",
    "holds_secret_in_large",
    "redact_large",
    "redact_large_arguments",
    "redact_large_text",
]

LARGE = 32 * 1024
"""Characters that may be redacted on the event loop: at most a few tens of milliseconds, whatever they are."""
DEADLINE_SECONDS = 5.0
_Value = TypeVar("_Value")


async def redact_large(redactor: Redactor, value: Json, seconds: float = DEADLINE_SECONDS) -> Json:
    """Redact a JSON value, in a thread if it is large; what takes longer than `seconds` is masked as a whole."""
    if _is_small(value):
        return redactor.redact(value)
    return await _in_thread(lambda budget: redactor.redact(value, budget=budget), seconds)


async def redact_large_text(redactor: Redactor, text: str, seconds: float = DEADLINE_SECONDS) -> str:
    """Redact a text, in a thread if it is large; what takes longer than `seconds` is masked as a whole."""
    if len(text) <= LARGE:
        return redactor.redact_text(text)
    return await _in_thread(lambda budget: redactor.redact_text(text, budget=budget), seconds)


async def redact_large_arguments(
    redactor: Redactor, arguments: JsonObject, bodies: Collection[str] = (), seconds: float = DEADLINE_SECONDS
) -> JsonObject:
    """Redact a tool call's arguments, in a thread if they are large; see `Redactor.redact_arguments`."""
    if _is_small(arguments):
        return redactor.redact_arguments(arguments, bodies)
    return await _in_thread(lambda budget: redactor.redact_arguments(arguments, bodies, budget=budget), seconds)


async def holds_secret_in_large(
    redactor: Redactor, arguments: JsonObject, bodies: Collection[str] = (), seconds: float = DEADLINE_SECONDS
) -> bool:
    """Return what `Redactor.holds_secret` returns, from a thread if the arguments are large."""
    if _is_small(arguments):
        return redactor.holds_secret(arguments, bodies)
    return await _in_thread(lambda budget: redactor.holds_secret(arguments, bodies, budget=budget), seconds)


async def find_hidden_values(redactor: Redactor, value: Json, seconds: float = DEADLINE_SECONDS) -> frozenset[str]:
    """Return what `Redactor.hidden_values` returns, from a thread if the value is large.

    After `seconds` the search ends with what it has found. `redact_large` masks such a value as a whole.
    """
    if _is_small(value):
        return redactor.hidden_values(value)
    return await _in_thread(lambda budget: redactor.hidden_values(value, budget=budget), seconds)


async def _in_thread(redact: Callable[[Budget], _Value], seconds: float) -> _Value:
    """Redact in a thread that stops soon after its deadline or after its caller is cancelled.

    Thread and loop share the interpreter's lock, which a regular expression keeps while it searches. So searches go by
    windows of 64 KiB (`budget.matches`), about 10 ms each, and YAML is read event by event: with 5 MB of hostile text
    the loop waited for less than 0.2 s on two busy cores. Another process would need the key and the secrets.
    """
    budget = Budget(until=time.monotonic() + seconds)
    try:
        return await asyncio.to_thread(redact, budget)
    except asyncio.CancelledError:
        budget.stopped = True
        raise


def _is_small(value: Json) -> bool:
    """Whether a value is small, looked at no further than needed."""
    left = LARGE
    pending = [value]
    while pending and left > 0:
        item = pending.pop()
        left -= 16
        if isinstance(item, str):
            left -= len(item)
        elif isinstance(item, list):
            left -= len(item)
            pending += item[: max(0, left)]
        elif isinstance(item, dict):
            left -= sum(len(key) for key in item)
            pending += item.values()
    return left > 0
