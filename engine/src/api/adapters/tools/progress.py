"""Limit a server's progress notifications to a rate that a person can read."""

from skyflo_common.redaction import Redactor
from src.api.adapters.tools.sanitize import line
from src.api.adapters.tools.session import OnProgress
from src.api.ports import Clock, Progress

__all__ = ["throttle_progress"]

_EVERY_SECONDS = 0.1
_MAX_MESSAGE = 500


def throttle_progress(on_progress: Progress, clock: Clock, redactor: Redactor) -> OnProgress:
    """Pass on at most ten notifications a second. Progress may be dropped; the result always follows."""
    last = float("-inf")

    async def report(progress: float, total: float | None, message: str | None) -> None:
        nonlocal last
        now = clock.monotonic()
        if now - last < _EVERY_SECONDS:
            return
        last = now
        text = redactor.redact_text(line(message, _MAX_MESSAGE)) if message else None
        await on_progress(text, progress, total)

    return report
