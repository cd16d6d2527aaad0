"""Summarize a pod: the one summary that every tool shows."""

from pydantic import BaseModel

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, text_at
from skyflo_tools.kubernetes.conditions import condition_reason, reports_problem
from skyflo_tools.kubernetes.containers import ContainerSummary, format_restarts, summarize_containers
from skyflo_tools.kubernetes.events import Event, format_warnings
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.shortening import one_line

MESSAGE_CHARACTERS = 600
_METADATA = ("name", "namespace", "uid", "labels", "ownerReferences", "deletionTimestamp", "finalizers",
             "creationTimestamp")  # fmt: skip
_STATUS = ("phase", "reason", "message", "conditions", "initContainerStatuses", "containerStatuses",
           "ephemeralContainerStatuses", "nominatedNodeName")  # fmt: skip

_ENDED = ("PodCompleted", "PodFailed")


class PodSummary(BaseModel):
    """A pod in short. `healthy` means that it is ready or has succeeded, `stable` that no container ever ended early.

    `details` are the facts beyond phase, readiness and restarts: reason, conditions, containers, latest warnings.
    """

    name: str
    namespace: str
    phase: str
    ready: str
    restarts: int
    node: str
    healthy: bool
    stable: bool
    details: list[str]
    containers: list[ContainerSummary]

    @property
    def title(self) -> str:
        restarts = f", {format_restarts(self.restarts)}" if self.restarts else ""
        return f"pod/{self.name} {self.phase} {self.ready} ready{restarts}"

    def line(self) -> str:
        """Format the pod in one line: `pod/api-1 Running 0/1 ready, 7 restarts, app: CrashLoopBackOff ...`."""
        where = [f"on {self.node}"] if self.node and not self.healthy else []
        return ", ".join([self.title, *self.details, *where])


def slim_pod(body: JsonObject) -> KubeObject:
    """Return only what a summary needs of a pod: lists of pods with long specs stay small in memory."""
    lists = ("containers", "initContainers", "ephemeralContainers")
    spec: JsonObject = {
        each: [{key: item[key] for key in ("name", "restartPolicy") if key in item} for item in found]
        for each in lists
        if (found := objects_at(body, "spec", each))
    }
    spec |= {key: value for key in ("nodeName", "readinessGates") if (value := dig(body, "spec", key))}
    metadata, status = object_at(body, "metadata"), object_at(body, "status")
    return KubeObject(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {key: metadata[key] for key in _METADATA if key in metadata},
            "spec": spec,
            "status": {key: status[key] for key in _STATUS if key in status},
        }
    )


def summarize_pod(pod: KubeObject, warnings: list[Event]) -> PodSummary:
    """Summarize a pod and the latest warnings about it."""
    containers = summarize_containers(pod.body)
    counted = [each for each in containers if each.counts_for_readiness]
    phase = text_at(pod.body, "status", "phase")
    has_succeeded = phase == "Succeeded"
    notable = [each for each in containers if each.notable] if _has_container_status(pod) else []
    shown = [each for each in notable if not each.waits_for_init] or notable
    names_unready = any(not each.ready for each in shown if each.counts_for_readiness)
    problems, conditions = _pod_problems(pod), _condition_problems(pod, names_unready=names_unready)
    healthy = (has_succeeded or (phase == "Running" and all(each.ready for each in counted))) and not (
        problems or conditions
    )
    return PodSummary(
        name=pod.name,
        namespace=pod.namespace,
        phase="Terminating" if pod.is_deleting else phase or "without status",
        ready=f"{sum(each.ready for each in counted)}/{len(counted)}",
        restarts=sum(each.restarts for each in containers),
        node=text_at(pod.body, "spec", "nodeName"),
        healthy=healthy,
        stable=healthy and not any(each.notable for each in containers if each.role != "ephemeral"),
        details=problems
        + [each.format(with_restarts=len(containers) > 1) for each in shown]
        + conditions
        + ([] if has_succeeded else format_warnings(warnings)),
        containers=containers,
    )


def _has_container_status(pod: KubeObject) -> bool:
    return any(
        objects_at(pod.body, "status", field)
        for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    )


def _pod_problems(pod: KubeObject) -> list[str]:
    found = []
    if pod.is_deleting:
        phase = text_at(pod.body, "status", "phase") or "without status"
        found.append(f"was {phase}, to be gone by {text_at(pod.body, 'metadata', 'deletionTimestamp')}")
    finalizers = pod.at("metadata", "finalizers")
    if pod.is_deleting and isinstance(finalizers, list) and finalizers:
        found.append(f"waits for its finalizers {' '.join(str(each) for each in finalizers)}")
    reason, message = text_at(pod.body, "status", "reason"), text_at(pod.body, "status", "message")
    if reason or message:
        found.append(f"{reason} {one_line(message, MESSAGE_CHARACTERS)}".strip())
    return found


def _condition_problems(pod: KubeObject, *, names_unready: bool) -> list[str]:
    """Return the conditions that are not as they should be, and readiness gates without a condition.

    `ContainersNotReady` only lists the names of containers, so it is left out where these are shown.
    """
    phase = text_at(pod.body, "status", "phase")
    reasons = {text_at(condition, "type"): condition_reason(condition) for condition in pod.conditions}
    found = []
    for condition in pod.conditions:
        name, status, why = text_at(condition, "type"), text_at(condition, "status"), condition_reason(condition)
        is_repeated = name == "ContainersReady" and why == reasons.get("Ready")
        is_over = phase in ("Failed", "Succeeded") and (name == "PodReadyToStartContainers" or why in _ENDED)
        only_names = names_unready and text_at(condition, "reason") == "ContainersNotReady"
        if reports_problem(condition) and not (is_repeated or only_names or is_over):
            found.append(_format_condition(name, status, one_line(why, MESSAGE_CHARACTERS)))
    gates = [text_at(gate, "conditionType") for gate in objects_at(pod.body, "spec", "readinessGates")]
    return found + [f"readiness gate {gate} has no condition yet" for gate in gates if gate not in reasons]


def _format_condition(name: str, status: str, why: str) -> str:
    if name == "PodScheduled":
        return f"not scheduled: {why.removeprefix('Unschedulable ')}"
    if name == "Ready" and status == "False":
        return f"not ready: {why}" if why else "not ready"
    return f"{name}={status} {why}".strip()
