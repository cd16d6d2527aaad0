"""A pod's status, put together from its containers."""

from skyflo_sandbox.cluster.life.containers import Cell
from skyflo_sandbox.cluster.life.objects import condition
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at

__all__ = ["conditions_with", "pod_status"]


def pod_status(pod: JsonObject, cells: list[Cell], host_ip: str, pod_ip: str, now: str) -> JsonObject:
    """The whole status; what did not change keeps its times."""
    before = object_at(pod, "status")
    unready = [cell.name for cell in cells if not cell.ready]
    phase = _phase(cells)
    finished = phase in ("Succeeded", "Failed")
    reason = ("PodCompleted" if phase == "Succeeded" else "PodFailed") if finished else "ContainersNotReady"
    ready = (
        {} if not unready else {"reason": reason, "message": f"containers with unready status: [{' '.join(unready)}]"}
    )
    flags: list[tuple[str, bool, dict[str, str]]] = [
        ("PodReadyToStartContainers", not finished, {}),
        ("Initialized", True, {}),
        ("Ready", not unready, ready),
        ("ContainersReady", not unready, ready),
        ("PodScheduled", True, {}),
    ]
    statuses: list[JsonValue] = [_container(cell) for cell in cells]
    status: JsonObject = {
        **before,
        "phase": phase,
        "conditions": conditions_with(pod, flags, now),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": text_at(before, "startTime") or now,
        "containerStatuses": statuses,
    }
    initial = objects_at(pod, "spec", "initContainers")
    if initial and "initContainerStatuses" not in before:
        status["initContainerStatuses"] = [_completed(each, now) for each in initial]
    return status


def conditions_with(pod: JsonObject, flags: list[tuple[str, bool, dict[str, str]]], now: str) -> list[JsonValue]:
    """The pod's conditions with these set; any other stays."""
    set_here = {type_ for type_, _, _ in flags}
    others = [each for each in objects_at(pod, "status", "conditions") if each.get("type") not in set_here]
    return [*(_condition(pod, type_, on, why, now) for type_, on, why in flags), *others]


def _phase(cells: list[Cell]) -> str:
    if all(cell.stage == "done" for cell in cells):
        failed = any((object_at(cell.state, "terminated").get("exitCode") or 0) != 0 for cell in cells)
        return "Failed" if failed else "Succeeded"
    waiting = any("waiting" in cell.state and not cell.last for cell in cells)
    return "Pending" if waiting else "Running"


def _condition(pod: JsonObject, type_: str, on: bool, why: dict[str, str], now: str) -> JsonObject:
    before, status = condition(pod, type_), "True" if on else "False"
    since = text_at(before, "lastTransitionTime") if before and before.get("status") == status else now
    return {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": since, **why}


def _container(cell: Cell) -> JsonObject:
    status: JsonObject = {
        "name": cell.name,
        "image": cell.image,
        "imageID": cell.image_id,
        "ready": cell.ready,
        "started": cell.started,
        "restartCount": cell.restarts,
        "state": cell.state,
        "lastState": cell.last,
    }
    return {**status, "containerID": cell.id} if cell.id else status


def _completed(container: JsonObject, now: str) -> JsonObject:
    terminated: JsonObject = {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}
    return {
        "name": text_at(container, "name"),
        "image": text_at(container, "image"),
        "imageID": "",
        "ready": True,
        "started": False,
        "restartCount": 0,
        "state": {"terminated": terminated},
        "lastState": {},
    }
