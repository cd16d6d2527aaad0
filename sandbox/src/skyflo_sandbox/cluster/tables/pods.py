"""Pod rows: the STATUS column follows the API server's printer."""

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, number_at, objects_at, text_at
from skyflo_sandbox.cluster.tables.durations import format_age, format_duration, parse_timestamp

__all__ = ["pod_cells", "pod_row_conditions"]


def pod_cells(body: JsonObject, now: float) -> list[JsonValue]:
    init, main = objects_at(body, "status", "initContainerStatuses"), objects_at(body, "status", "containerStatuses")
    reason = _initial_reason(body)
    init_reason = _init_reason(body, init)
    if init_reason and not _has_condition(body, "Initialized"):
        reason, counted_statuses, ready = init_reason, init, 0
    else:
        counted_statuses = main
        reason, ready = _container_reason(body, init_reason or reason, main)
    return [
        text_at(body, "metadata", "name"),
        f"{ready}/{len(objects_at(body, 'spec', 'containers'))}",
        _deletion_reason(body) or reason,
        _format_restarts(counted_statuses, [*init, *main], now),
        format_age(text_at(body, "metadata", "creationTimestamp"), now),
        text_at(body, "status", "podIP") or "<none>",
        text_at(body, "spec", "nodeName") or "<none>",
        text_at(body, "status", "nominatedNodeName") or "<none>",
        _format_readiness_gates(body),
    ]


def pod_row_conditions(body: JsonObject) -> list[JsonValue]:
    """Build the row condition of a finished pod."""
    texts = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    phase = text_at(body, "status", "phase")
    if phase not in texts:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": texts[phase]}]


def _initial_reason(body: JsonObject) -> str:
    gated = any(
        text_at(each, "type") == "PodScheduled" and text_at(each, "reason") == "SchedulingGated"
        for each in objects_at(body, "status", "conditions")
    )
    return "SchedulingGated" if gated else text_at(body, "status", "reason") or text_at(body, "status", "phase")


def _has_condition(body: JsonObject, type_: str) -> bool:
    found = objects_at(body, "status", "conditions")
    return any(text_at(each, "type") == type_ and text_at(each, "status") == "True" for each in found)


def _init_reason(body: JsonObject, init: list[JsonObject]) -> str:
    """Describe the first init container that has not completed; empty if all have."""
    for index, status in enumerate(init):
        ended, waits = dig(status, "state", "terminated"), text_at(status, "state", "waiting", "reason")
        if isinstance(ended, dict):
            if ended.get("exitCode") == 0:
                continue
            return f"Init:{text_at(ended, 'reason') or _exit_reason(ended)}"
        if waits and waits != "PodInitializing":
            return f"Init:{waits}"
        return f"Init:{index}/{len(objects_at(body, 'spec', 'initContainers'))}"
    return ""


def _exit_reason(ended: JsonObject) -> str:
    signal = number_at(ended, "signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{number_at(ended, 'exitCode') or 0}"


def _container_reason(body: JsonObject, reason: str, statuses: list[JsonObject]) -> tuple[str, int]:
    """Return the reason of the first container that has one, and the number of ready containers."""
    ready = 0
    for status in reversed(statuses):
        ended, waits = dig(status, "state", "terminated"), text_at(status, "state", "waiting", "reason")
        if waits:
            reason = waits
        elif isinstance(ended, dict):
            reason = text_at(ended, "reason") or _exit_reason(ended)
        elif status.get("ready") is True and dig(status, "state", "running") is not None:
            ready += 1
    if reason == "Completed" and ready:
        reason = "Running" if _has_condition(body, "Ready") else "NotReady"
    return reason, ready


def _deletion_reason(body: JsonObject) -> str:
    if not text_at(body, "metadata", "deletionTimestamp"):
        return ""
    if text_at(body, "status", "reason") == "NodeLost":
        return "Unknown"
    return "" if text_at(body, "status", "phase") in ("Succeeded", "Failed") else "Terminating"


def _format_restarts(counted_statuses: list[JsonObject], all_statuses: list[JsonObject], now: float) -> str:
    """Format restarts, with the time of the last one if it is known: `3 (2m ago)`."""
    count = sum(number_at(status, "restartCount") or 0 for status in counted_statuses)
    ends = [parse_timestamp(dig(status, "lastState", "terminated", "finishedAt")) for status in all_statuses]
    last = max((end for end in ends if end is not None), default=None)
    return f"{count} ({format_duration(now - last)} ago)" if count and last is not None else str(count)


def _format_readiness_gates(body: JsonObject) -> str:
    gates = objects_at(body, "spec", "readinessGates")
    if not gates:
        return "<none>"
    return f"{sum(_has_condition(body, text_at(gate, 'conditionType')) for gate in gates)}/{len(gates)}"
