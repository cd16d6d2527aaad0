"""Times as kubectl tells them: how long ago, in two units at most."""

from datetime import datetime

from skyflo_sandbox.jsontypes import JsonValue

__all__ = ["ago", "duration", "seconds_of"]

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 365 * 86_400


def duration(seconds: float) -> str:
    """`119s`, `5m3s`, `7h5m`, `4d`. A little before now is now."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(0, whole)}s"
    if whole < 3 * _HOUR:
        return _two(whole, _MINUTE, "m", 1, "s", until=10 * _MINUTE)
    if whole < 2 * _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "m", until=8 * _HOUR)
    if whole < 2 * _YEAR:
        return _two(whole, _DAY, "d", _HOUR, "h", until=8 * _DAY)
    return _two(whole, _YEAR, "y", _DAY, "d", until=8 * _YEAR)


def _two(whole: int, unit: int, name: str, part: int, part_name: str, *, until: int) -> str:
    """The larger unit, and below `until` what is left of it in the smaller one."""
    rest = whole % unit // part
    return f"{whole // unit}{name}" + (f"{rest}{part_name}" if rest and whole < until else "")


def seconds_of(timestamp: JsonValue) -> float | None:
    """Seconds since the epoch of an RFC 3339 time, with or without fractions; None where it is none."""
    if not isinstance(timestamp, str) or not timestamp:
        return None
    try:
        found = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None


def ago(timestamp: JsonValue, now: float) -> str:
    """How long ago that was."""
    at = seconds_of(timestamp)
    return "<unknown>" if at is None else duration(now - at)
