"""A pod's row: its STATUS says why it is not well, by the same steps as the API server's printer."""

from skyflo_sandbox.cluster.tables.durations import ago, duration, seconds_of
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, dig, number_at, objects_at, text_at

__all__ = ["conditions", "pod"]


def pod(body: JsonObject, now: float) -> list[JsonValue]:
    init, main = objects_at(body, "status", "initContainerStatuses"), objects_at(body, "status", "containerStatuses")
    reason = _first_reason(body)
    starting = _starting(body, init)
    if starting and not _has_condition(body, "Initialized"):
        reason, counted, ready = starting, init, 0
    else:
        counted = main
        reason, ready = _running(body, starting or reason, main)
    return [
        text_at(body, "metadata", "name"),
        f"{ready}/{len(objects_at(body, 'spec', 'containers'))}",
        _ending(body) or reason,
        _restarts(counted, [*init, *main], now),
        ago(text_at(body, "metadata", "creationTimestamp"), now),
        text_at(body, "status", "podIP") or "<none>",
        text_at(body, "spec", "nodeName") or "<none>",
        text_at(body, "status", "nominatedNodeName") or "<none>",
        _gates(body),
    ]


def conditions(body: JsonObject) -> list[JsonValue]:
    """What marks the row of a pod that has ended."""
    texts = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}
    phase = text_at(body, "status", "phase")
    if phase not in texts:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": texts[phase]}]


def _first_reason(body: JsonObject) -> str:
    gated = any(
        text_at(each, "type") == "PodScheduled" and text_at(each, "reason") == "SchedulingGated"
        for each in objects_at(body, "status", "conditions")
    )
    return "SchedulingGated" if gated else text_at(body, "status", "reason") or text_at(body, "status", "phase")


def _has_condition(body: JsonObject, type_: str) -> bool:
    found = objects_at(body, "status", "conditions")
    return any(text_at(each, "type") == type_ and text_at(each, "status") == "True" for each in found)


def _starting(body: JsonObject, init: list[JsonObject]) -> str:
    """The first init container that has not done its part; empty if all have."""
    for index, status in enumerate(init):
        ended, waits = dig(status, "state", "terminated"), text_at(status, "state", "waiting", "reason")
        if isinstance(ended, dict):
            if ended.get("exitCode") == 0:
                continue
            return f"Init:{text_at(ended, 'reason') or _how_it_ended(ended)}"
        if waits and waits != "PodInitializing":
            return f"Init:{waits}"
        return f"Init:{index}/{len(objects_at(body, 'spec', 'initContainers'))}"
    return ""


def _how_it_ended(ended: JsonObject) -> str:
    signal = number_at(ended, "signal")
    return f"Signal:{signal}" if signal else f"ExitCode:{number_at(ended, 'exitCode') or 0}"


def _running(body: JsonObject, reason: str, statuses: list[JsonObject]) -> tuple[str, int]:
    """The reason of the first container that has one, and how many are ready."""
    ready = 0
    for status in reversed(statuses):
        ended, waits = dig(status, "state", "terminated"), text_at(status, "state", "waiting", "reason")
        if waits:
            reason = waits
        elif isinstance(ended, dict):
            reason = text_at(ended, "reason") or _how_it_ended(ended)
        elif status.get("ready") is True and dig(status, "state", "running") is not None:
            ready += 1
    if reason == "Completed" and ready:
        reason = "Running" if _has_condition(body, "Ready") else "NotReady"
    return reason, ready


def _ending(body: JsonObject) -> str:
    if not text_at(body, "metadata", "deletionTimestamp"):
        return ""
    if text_at(body, "status", "reason") == "NodeLost":
        return "Unknown"
    return "" if text_at(body, "status", "phase") in ("Succeeded", "Failed") else "Terminating"


def _restarts(counted: list[JsonObject], every: list[JsonObject], now: float) -> str:
    """`3 (2m ago)`: when the last of them ended, where that is known."""
    count = sum(number_at(status, "restartCount") or 0 for status in counted)
    ends = [seconds_of(dig(status, "lastState", "terminated", "finishedAt")) for status in every]
    last = max((end for end in ends if end is not None), default=None)
    return f"{count} ({duration(now - last)} ago)" if count and last is not None else str(count)


def _gates(body: JsonObject) -> str:
    gates = objects_at(body, "spec", "readinessGates")
    if not gates:
        return "<none>"
    return f"{sum(_has_condition(body, text_at(gate, 'conditionType')) for gate in gates)}/{len(gates)}"
