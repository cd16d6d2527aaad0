"""A Deployment's status: replica counts, and the conditions Available and Progressing."""

from skyflo_common.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at
from skyflo_sandbox.cluster.controllers.objects import epoch_seconds, find_condition, name_of, replace_condition
from skyflo_sandbox.cluster.controllers.rollout import RolloutBounds, available, total_replicas

__all__ = [
    "COMPLETE",
    "build_status",
    "deadline",
    "is_complete",
    "set_condition",
    "update_paused",
    "update_progressing",
]

COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
_PAUSED, _RESUMED = "DeploymentPaused", "DeploymentResumed"


def build_status(
    deployment: JsonObject, limits: RolloutBounds, new: JsonObject | None, all_sets: list[JsonObject], now: str
) -> JsonObject:
    """Build the status with current counts and the Available condition. Zero counts are omitted."""
    ready = sum(number_at(each, "status", "readyReplicas") or 0 for each in all_sets)
    available_count = sum(available(each) for each in all_sets)
    counts = {
        "replicas": sum(number_at(each, "status", "replicas") or 0 for each in all_sets),
        "updatedReplicas": (number_at(new, "status", "replicas") or 0) if new else 0,
        "readyReplicas": ready,
        "availableReplicas": available_count,
        "unavailableReplicas": max(total_replicas(all_sets) - available_count, 0),
    }
    status: JsonObject = {"observedGeneration": number_at(deployment, "metadata", "generation") or 1}
    status |= {key: count for key, count in counts.items() if count}
    collisions = number_at(deployment, "status", "collisionCount")
    if collisions:
        status["collisionCount"] = collisions
    conditions = objects_at(deployment, "status", "conditions")
    has_minimum = available_count >= limits.min_available
    reason = "MinimumReplicasAvailable" if has_minimum else "MinimumReplicasUnavailable"
    text = "Deployment has minimum availability." if has_minimum else "Deployment does not have minimum availability."
    return set_condition(
        {**status, "conditions": [*conditions]}, "Available", "True" if has_minimum else "False", reason, text, now
    )


def set_condition(status: JsonObject, type_: str, value: str, reason: str, message: str, now: str) -> JsonObject:
    """Set a condition, unless it already has this status and reason."""
    before = find_condition({"status": status}, type_)
    if before is not None and (before.get("status"), before.get("reason")) == (value, reason):
        return status
    return {
        **status,
        "conditions": [
            *replace_condition(
                objects_at(status, "conditions"), _build_condition(before, type_, value, reason, message, now)
            )
        ],
    }


def is_complete(deployment: JsonObject, status: JsonObject) -> bool:
    """Return whether all replicas are updated and available, and no old ones remain."""
    replicas = number_at(deployment, "spec", "replicas")
    wanted = 1 if replicas is None else replicas
    counts = [number_at(status, key) or 0 for key in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [wanted] * 3


def deadline(deployment: JsonObject) -> int | None:
    """Return the progress deadline in seconds, or None."""
    seconds = number_at(deployment, "spec", "progressDeadlineSeconds")
    return None if seconds is None or seconds >= 2**31 - 1 else seconds


def update_progressing(deployment: JsonObject, status: JsonObject, new: JsonObject | None, now: str) -> JsonObject:
    """Return the status with an updated Progressing condition."""
    if deadline(deployment) is None:
        others = [each for each in objects_at(status, "conditions") if each.get("type") != "Progressing"]
        return {**status, "conditions": [*others]}
    before = find_condition(deployment, "Progressing")
    is_settled = (number_at(status, "replicas") or 0) == (number_at(status, "updatedReplicas") or 0)
    if is_settled and before is not None and before.get("reason") == COMPLETE:
        return status
    subject = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if is_complete(deployment, status):
        return set_condition(status, "Progressing", "True", COMPLETE, f"{subject} has successfully progressed.", now)
    if _has_progressed(object_at(deployment, "status"), status):
        return _restart_deadline(status, before, f"{subject} is progressing.", now)
    if _has_timed_out(deployment, before, now):
        return set_condition(status, "Progressing", "False", TIMED_OUT, f"{subject} has timed out progressing.", now)
    return status


def update_paused(deployment: JsonObject, now: str) -> JsonObject:
    """Return the status with a Progressing condition that records a new pause or resume."""
    status, before = object_at(deployment, "status"), find_condition(deployment, "Progressing")
    reason = text_at(before, "reason")
    if deadline(deployment) is None or reason == TIMED_OUT:
        return status
    paused = dig(deployment, "spec", "paused") is True
    if paused and reason != _PAUSED:
        return set_condition(status, "Progressing", "Unknown", _PAUSED, "Deployment is paused", now)
    if not paused and reason == _PAUSED:
        return set_condition(status, "Progressing", "Unknown", _RESUMED, "Deployment is resumed", now)
    return status


def _build_condition(
    before: JsonObject | None, type_: str, value: str, reason: str, message: str, now: str
) -> JsonObject:
    is_same_value = before is not None and before.get("status") == value
    return {
        "type": type_,
        "status": value,
        "lastUpdateTime": now,
        "lastTransitionTime": text_at(before, "lastTransitionTime") if is_same_value else now,
        "reason": reason,
        "message": message,
    }


def _restart_deadline(status: JsonObject, before: JsonObject | None, message: str, now: str) -> JsonObject:
    """Renew the Progressing condition, which restarts the progress deadline."""
    new = _build_condition(before, "Progressing", "True", "ReplicaSetUpdated", message, now)
    return {**status, "conditions": [*replace_condition(objects_at(status, "conditions"), new)]}


def _has_progressed(before: JsonObject, after: JsonObject) -> bool:
    def count(status: JsonObject, key: str) -> int:
        return number_at(status, key) or 0

    def old(status: JsonObject) -> int:
        return count(status, "replicas") - count(status, "updatedReplicas")

    more = any(
        count(after, key) > count(before, key) for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return more or old(after) < old(before)


def _has_timed_out(deployment: JsonObject, before: JsonObject | None, now: str) -> bool:
    seconds = deadline(deployment)
    if before is None or seconds is None or before.get("reason") == COMPLETE:
        return False
    return (
        before.get("reason") == TIMED_OUT
        or epoch_seconds(now) >= epoch_seconds(text_at(before, "lastUpdateTime")) + seconds
    )
