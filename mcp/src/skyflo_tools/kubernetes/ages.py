"""Format how long ago something happened, as kubectl does: `45s`, `12m`, `5h`, `3d`."""

from datetime import datetime

_UNITS = ((86_400, "d", 2), (3600, "h", 3), (60, "m", 2))


def format_age(time: str, now_ms: int) -> str:
    """Return the age of an RFC 3339 time; empty if it can't be read."""
    try:
        seconds = now_ms / 1000 - datetime.fromisoformat(time).timestamp()
    except ValueError:
        return ""
    for size, unit, least in _UNITS:
        if seconds >= size * least:
            return f"{int(seconds // size)}{unit}"
    return f"{max(0, int(seconds))}s"
