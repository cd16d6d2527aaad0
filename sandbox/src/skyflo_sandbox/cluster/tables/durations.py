"""Ages and durations in kubectl's format, in at most two units."""

from datetime import datetime

from skyflo_common.jsontypes import JsonValue

__all__ = ["format_age", "format_duration", "parse_timestamp"]

_MINUTE, _HOUR, _DAY, _YEAR = 60, 3_600, 86_400, 365 * 86_400


def format_duration(seconds: float) -> str:
    """Format a duration: `119s`, `5m3s`, `7h5m`, `4d`. Up to one second in the future counts as now."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 2 * _MINUTE:
        return f"{max(0, whole)}s"
    if whole < 3 * _HOUR:
        return _two_units(whole, _MINUTE, "m", 1, "s", until=10 * _MINUTE)
    if whole < 2 * _DAY:
        return _two_units(whole, _HOUR, "h", _MINUTE, "m", until=8 * _HOUR)
    if whole < 2 * _YEAR:
        return _two_units(whole, _DAY, "d", _HOUR, "h", until=8 * _DAY)
    return _two_units(whole, _YEAR, "y", _DAY, "d", until=8 * _YEAR)


def _two_units(whole: int, unit: int, name: str, part: int, part_name: str, *, until: int) -> str:
    """Format the larger unit and, below `until`, the remainder in the smaller unit."""
    rest = whole % unit // part
    return f"{whole // unit}{name}" + (f"{rest}{part_name}" if rest and whole < until else "")


def parse_timestamp(timestamp: JsonValue) -> float | None:
    """Parse an RFC 3339 time into seconds since the epoch; None if it is invalid."""
    if not isinstance(timestamp, str) or not timestamp:
        return None
    try:
        found = datetime.fromisoformat(timestamp)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None


def format_age(timestamp: JsonValue, now: float) -> str:
    """Format the time since a timestamp."""
    at = parse_timestamp(timestamp)
    return "<unknown>" if at is None else format_duration(now - at)
