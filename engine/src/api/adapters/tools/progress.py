"""What a server says while it works, slowed down to what a person can read."""

from src.api.adapters.tools.cleaning import line
from src.api.adapters.tools.link import OnProgress
from src.api.ports import Clock, Progress
from src.api.utils.redaction import Redactor

__all__ = ["throttled"]

_EVERY_SECONDS = 0.1
_MAX_MESSAGE = 500


def throttled(show: Progress, clock: Clock, redactor: Redactor) -> OnProgress:
    """Passes on at most ten notifications a second; progress may be skipped, and the result follows anyway."""
    last = float("-inf")

    async def report(progress: float, total: float | None, message: str | None) -> None:
        nonlocal last
        now = clock.boot()
        if now - last < _EVERY_SECONDS:
            return
        last = now
        text = redactor.redact_text(line(message, _MAX_MESSAGE)) if message else None
        await show(text, progress, total)

    return report
