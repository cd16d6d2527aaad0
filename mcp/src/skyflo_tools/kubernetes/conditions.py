"""Format the conditions of an object."""

from skyflo_common.jsontypes import JsonObject, text_at
from skyflo_tools.shortening import one_line, shorten

LINE_CHARACTERS = 600
FIELD_CHARACTERS = 2000
_FIELDS = ("type", "status", "reason", "message", "lastTransitionTime")
_TRUE_IS_BAD = frozenset(
    {
        "ReplicaFailure", "Failed", "FailureTarget", "Suspended", "Stalled", "Degraded",
        "DisruptionTarget", "PodResizePending", "PodResizeInProgress",
    }
)  # fmt: skip


def select_condition_fields(condition: JsonObject) -> JsonObject:
    return {key: shorten(text_at(condition, key), FIELD_CHARACTERS) for key in _FIELDS if key in condition}


def format_condition(condition: JsonObject) -> str:
    """Format a condition: `Available=False MinimumReplicasUnavailable The message. (since 2026-11-29T05:00:00Z)`."""
    name, status = text_at(condition, "type"), text_at(condition, "status")
    why, since = condition_reason(condition), text_at(condition, "lastTransitionTime")
    parts = [f"{name}={status}" if status else name]
    parts += [one_line(why, LINE_CHARACTERS)] if why else []
    parts += [f"(since {since})"] if since else []
    return " ".join(parts)


def condition_reason(condition: JsonObject) -> str:
    """Return reason and message of a condition."""
    return " ".join(part for part in (text_at(condition, "reason"), text_at(condition, "message")) if part)


def reports_problem(condition: JsonObject) -> bool:
    """Return whether a condition reports a problem: failures are True, everything else is not True."""
    return (text_at(condition, "type") in _TRUE_IS_BAD) == (text_at(condition, "status") == "True")
