"""A Deployment's status: counts, and the conditions Available and Progressing."""

from skyflo_sandbox.cluster.life.objects import condition, epoch, name_of, with_condition
from skyflo_sandbox.cluster.life.rolling import Bounds, available, total
from skyflo_sandbox.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at

__all__ = ["COMPLETE", "counted", "deadline", "has_finished", "paused_condition", "progress", "set_condition"]

COMPLETE = "NewReplicaSetAvailable"
TIMED_OUT = "ProgressDeadlineExceeded"
_PAUSED, _RESUMED = "DeploymentPaused", "DeploymentResumed"


def counted(
    deployment: JsonObject, limits: Bounds, new: JsonObject | None, every: list[JsonObject], now: str
) -> JsonObject:
    """The status with counts of now and the condition Available; zeros are left out, as an API server does."""
    ready = sum(number_at(each, "status", "readyReplicas") or 0 for each in every)
    up = sum(available(each) for each in every)
    counts = {
        "replicas": sum(number_at(each, "status", "replicas") or 0 for each in every),
        "updatedReplicas": (number_at(new, "status", "replicas") or 0) if new else 0,
        "readyReplicas": ready,
        "availableReplicas": up,
        "unavailableReplicas": max(total(every) - up, 0),
    }
    status: JsonObject = {"observedGeneration": number_at(deployment, "metadata", "generation") or 1}
    status |= {key: count for key, count in counts.items() if count}
    collisions = number_at(deployment, "status", "collisionCount")
    if collisions:
        status["collisionCount"] = collisions
    conditions = objects_at(deployment, "status", "conditions")
    enough = up >= limits.least
    reason = "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable"
    text = "Deployment has minimum availability." if enough else "Deployment does not have minimum availability."
    return set_condition(
        {**status, "conditions": [*conditions]}, "Available", "True" if enough else "False", reason, text, now
    )


def set_condition(status: JsonObject, type_: str, value: str, reason: str, message: str, now: str) -> JsonObject:
    """With this condition; one of the same status and reason stays as it is."""
    before = condition({"status": status}, type_)
    if before is not None and (before.get("status"), before.get("reason")) == (value, reason):
        return status
    return {
        **status,
        "conditions": [
            *with_condition(objects_at(status, "conditions"), _new(before, type_, value, reason, message, now))
        ],
    }


def has_finished(deployment: JsonObject, status: JsonObject) -> bool:
    """All replicas are of the new template and available, and no other is there."""
    replicas = number_at(deployment, "spec", "replicas")
    wanted = 1 if replicas is None else replicas
    counts = [number_at(status, key) or 0 for key in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [wanted] * 3


def deadline(deployment: JsonObject) -> int | None:
    """Seconds within which a rollout has to get on; None for one without."""
    seconds = number_at(deployment, "spec", "progressDeadlineSeconds")
    return None if seconds is None or seconds >= 2**31 - 1 else seconds


def progress(deployment: JsonObject, status: JsonObject, new: JsonObject | None, now: str) -> JsonObject:
    """The status with the condition Progressing as it is now."""
    if deadline(deployment) is None:
        others = [each for each in objects_at(status, "conditions") if each.get("type") != "Progressing"]
        return {**status, "conditions": [*others]}
    before = condition(deployment, "Progressing")
    settled = (number_at(status, "replicas") or 0) == (number_at(status, "updatedReplicas") or 0)
    if settled and before is not None and before.get("reason") == COMPLETE:
        return status
    what = f'ReplicaSet "{name_of(new)}"' if new else f'Deployment "{name_of(deployment)}"'
    if has_finished(deployment, status):
        return set_condition(status, "Progressing", "True", COMPLETE, f"{what} has successfully progressed.", now)
    if _got_on(object_at(deployment, "status"), status):
        return _renewed(status, before, f"{what} is progressing.", now)
    if _timed_out(deployment, before, now):
        return set_condition(status, "Progressing", "False", TIMED_OUT, f"{what} has timed out progressing.", now)
    return status


def paused_condition(deployment: JsonObject, now: str) -> JsonObject:
    """The status with the condition that tells of a pause or of its end, where that is news."""
    status, before = object_at(deployment, "status"), condition(deployment, "Progressing")
    reason = text_at(before, "reason")
    if deadline(deployment) is None or reason == TIMED_OUT:
        return status
    paused = dig(deployment, "spec", "paused") is True
    if paused and reason != _PAUSED:
        return set_condition(status, "Progressing", "Unknown", _PAUSED, "Deployment is paused", now)
    if not paused and reason == _PAUSED:
        return set_condition(status, "Progressing", "Unknown", _RESUMED, "Deployment is resumed", now)
    return status


def _new(before: JsonObject | None, type_: str, value: str, reason: str, message: str, now: str) -> JsonObject:
    same = before is not None and before.get("status") == value
    return {
        "type": type_,
        "status": value,
        "lastUpdateTime": now,
        "lastTransitionTime": text_at(before, "lastTransitionTime") if same else now,
        "reason": reason,
        "message": message,
    }


def _renewed(status: JsonObject, before: JsonObject | None, message: str, now: str) -> JsonObject:
    """Getting on sets the clock of the deadline back."""
    new = _new(before, "Progressing", "True", "ReplicaSetUpdated", message, now)
    return {**status, "conditions": [*with_condition(objects_at(status, "conditions"), new)]}


def _got_on(before: JsonObject, after: JsonObject) -> bool:
    def count(status: JsonObject, key: str) -> int:
        return number_at(status, key) or 0

    def old(status: JsonObject) -> int:
        return count(status, "replicas") - count(status, "updatedReplicas")

    more = any(
        count(after, key) > count(before, key) for key in ("updatedReplicas", "readyReplicas", "availableReplicas")
    )
    return more or old(after) < old(before)


def _timed_out(deployment: JsonObject, before: JsonObject | None, now: str) -> bool:
    seconds = deadline(deployment)
    if before is None or seconds is None or before.get("reason") == COMPLETE:
        return False
    return before.get("reason") == TIMED_OUT or epoch(now) >= epoch(text_at(before, "lastUpdateTime")) + seconds
