"""Whether a workload has rolled out, by the same rules as kubectl."""

from dataclasses import dataclass
from typing import Literal

from skyflo_tools.jsontypes import JsonValue, dig, number_at, text_at
from skyflo_tools.kubernetes.objects import KubeObject

ROLLING_KINDS = ("Deployment", "StatefulSet", "DaemonSet")
State = Literal["complete", "progressing", "failed", "paused"]


@dataclass(frozen=True)
class Rollout:
    """How far a rollout is."""

    state: State
    message: str
    done: int
    wanted: int


def rollout(workload: KubeObject) -> Rollout:
    """The state of a Deployment, StatefulSet or DaemonSet."""
    observed = number_at(workload.body, "status", "observedGeneration") or 0
    if (number_at(workload.body, "metadata", "generation") or 0) > observed:
        return Rollout("progressing", "its controller has not seen the latest change yet", 0, _wanted(workload))
    read = {"Deployment": _deployment, "StatefulSet": _stateful_set, "DaemonSet": _daemon_set}
    return read[workload.kind](workload)


def _wanted(workload: KubeObject) -> int:
    if workload.kind == "DaemonSet":
        return _status(workload, "desiredNumberScheduled")
    replicas = number_at(workload.body, "spec", "replicas")
    return 1 if replicas is None else replicas


def _status(workload: KubeObject, field: str) -> int:
    return number_at(workload.body, "status", field) or 0


def _deployment(workload: KubeObject) -> Rollout:
    wanted, updated = _wanted(workload), _status(workload, "updatedReplicas")
    available, total = _status(workload, "availableReplicas"), _status(workload, "replicas")
    for condition in workload.conditions:
        if text_at(condition, "reason") == "ProgressDeadlineExceeded":
            return Rollout("failed", f"gave up: {text_at(condition, 'message')}", available, wanted)
    if dig(workload.body, "spec", "paused") is True:
        return Rollout("paused", f"paused with {updated} of {wanted} replicas updated", updated, wanted)
    if updated < wanted:
        return Rollout("progressing", f"{updated} of {wanted} replicas updated", updated, wanted)
    if total > updated:
        return Rollout("progressing", f"{total - updated} old replicas are still to go", updated, wanted)
    if available < updated:
        return Rollout("progressing", f"{available} of {updated} updated replicas available", available, wanted)
    return Rollout("complete", f"{available} of {wanted} replicas updated and available", available, wanted)


def _stateful_set(workload: KubeObject) -> Rollout:
    wanted, updated, ready = _wanted(workload), _status(workload, "updatedReplicas"), _status(workload, "readyReplicas")
    if _strategy(workload) == "OnDelete":
        return Rollout("complete", "its strategy is OnDelete: pods change when they are deleted", ready, wanted)
    partition = number_at(workload.body, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
    if ready < wanted:
        return Rollout("progressing", f"{ready} of {wanted} replicas ready", ready, wanted)
    if updated < wanted - partition:
        return Rollout("progressing", f"{updated} of {wanted - partition} replicas updated", updated, wanted)
    return Rollout("complete", f"{ready} of {wanted} replicas ready", ready, wanted)


def _daemon_set(workload: KubeObject) -> Rollout:
    wanted, updated = _wanted(workload), _status(workload, "updatedNumberScheduled")
    available = _status(workload, "numberAvailable")
    if _strategy(workload) == "OnDelete":
        return Rollout("complete", "its strategy is OnDelete: pods change when they are deleted", available, wanted)
    if updated < wanted:
        return Rollout("progressing", f"{updated} of {wanted} pods updated", updated, wanted)
    if available < wanted:
        return Rollout("progressing", f"{available} of {wanted} pods available", available, wanted)
    return Rollout("complete", f"{available} of {wanted} pods updated and available", available, wanted)


def _strategy(workload: KubeObject) -> JsonValue:
    return dig(workload.body, "spec", "updateStrategy", "type")
