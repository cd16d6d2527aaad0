"""Build a pod's status from its containers."""

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at
from skyflo_sandbox.cluster.controllers.containers import Container
from skyflo_sandbox.cluster.controllers.objects import find_condition

__all__ = ["build_pod_status", "set_pod_conditions"]


def build_pod_status(pod: JsonObject, containers: list[Container], host_ip: str, pod_ip: str, now: str) -> JsonObject:
    """Build the whole status; unchanged conditions keep their transition time."""
    before = object_at(pod, "status")
    unready = [container.name for container in containers if not container.ready]
    phase = _pod_phase(containers)
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
    statuses: list[JsonValue] = [_container_status(container) for container in containers]
    status: JsonObject = {
        **before,
        "phase": phase,
        "conditions": set_pod_conditions(pod, flags, now),
        "hostIP": host_ip,
        "hostIPs": [{"ip": host_ip}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": text_at(before, "startTime") or now,
        "containerStatuses": statuses,
    }
    init_containers = objects_at(pod, "spec", "initContainers")
    if init_containers and "initContainerStatuses" not in before:
        status["initContainerStatuses"] = [_completed_init_status(each, now) for each in init_containers]
    return status


def set_pod_conditions(pod: JsonObject, flags: list[tuple[str, bool, dict[str, str]]], now: str) -> list[JsonValue]:
    """Set these conditions of the pod and keep the others."""
    replaced_types = {type_ for type_, _, _ in flags}
    others = [each for each in objects_at(pod, "status", "conditions") if each.get("type") not in replaced_types]
    return [*(_build_condition(pod, type_, is_true, extra, now) for type_, is_true, extra in flags), *others]


def _pod_phase(containers: list[Container]) -> str:
    if all(container.stage == "done" for container in containers):
        failed = any((object_at(container.state, "terminated").get("exitCode") or 0) != 0 for container in containers)
        return "Failed" if failed else "Succeeded"
    waiting = any("waiting" in container.state and not container.last for container in containers)
    return "Pending" if waiting else "Running"


def _build_condition(pod: JsonObject, type_: str, is_true: bool, extra: dict[str, str], now: str) -> JsonObject:
    before, status = find_condition(pod, type_), "True" if is_true else "False"
    since = text_at(before, "lastTransitionTime") if before and before.get("status") == status else now
    return {"type": type_, "status": status, "lastProbeTime": None, "lastTransitionTime": since, **extra}


def _container_status(container: Container) -> JsonObject:
    status: JsonObject = {
        "name": container.name,
        "image": container.image,
        "imageID": container.image_id,
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
        "state": container.state,
        "lastState": container.last,
    }
    return {**status, "containerID": container.id} if container.id else status


def _completed_init_status(container: JsonObject, now: str) -> JsonObject:
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
