"""Determine the rollout status of workloads, by the rules of `kubectl rollout status`."""

from dataclasses import dataclass
from typing import Literal

from skyflo_common.jsontypes import JsonValue, dig, number_at, text_at
from skyflo_tools.kubernetes.objects import KubeObject

ROLLING_KINDS = ("Deployment", "StatefulSet", "DaemonSet")
REVISION = "deployment.kubernetes.io/revision"
RolloutState = Literal["complete", "progressing", "failed", "paused"]


@dataclass(frozen=True)
class RolloutStatus:
    """The progress of a rollout: `done` of `wanted` replicas."""

    state: RolloutState
    message: str
    done: int
    wanted: int


def read_rollout_status(workload: KubeObject) -> RolloutStatus:
    """Return the rollout status of a Deployment, StatefulSet or DaemonSet."""
    observed = number_at(workload.body, "status", "observedGeneration") or 0
    if (number_at(workload.body, "metadata", "generation") or 0) > observed:
        return RolloutStatus(
            "progressing", "its controller has not seen the latest change yet", 0, _desired_replicas(workload)
        )
    readers = {"Deployment": _deployment_status, "StatefulSet": _stateful_set_status, "DaemonSet": _daemon_set_status}
    return readers[workload.kind](workload)


def _desired_replicas(workload: KubeObject) -> int:
    if workload.kind == "DaemonSet":
        return _status_count(workload, "desiredNumberScheduled")
    replicas = number_at(workload.body, "spec", "replicas")
    return 1 if replicas is None else replicas


def _status_count(workload: KubeObject, field: str) -> int:
    return number_at(workload.body, "status", field) or 0


def _deployment_status(workload: KubeObject) -> RolloutStatus:
    wanted, updated = _desired_replicas(workload), _status_count(workload, "updatedReplicas")
    available, total = _status_count(workload, "availableReplicas"), _status_count(workload, "replicas")
    for condition in workload.conditions:
        if text_at(condition, "reason") == "ProgressDeadlineExceeded":
            return RolloutStatus("failed", f"gave up: {text_at(condition, 'message')}", available, wanted)
    if dig(workload.body, "spec", "paused") is True:
        return RolloutStatus("paused", f"paused with {updated} of {wanted} replicas updated", updated, wanted)
    if updated < wanted:
        return RolloutStatus("progressing", f"{updated} of {wanted} replicas updated", updated, wanted)
    if total > updated:
        return RolloutStatus("progressing", f"{total - updated} old replicas are still to go", updated, wanted)
    if available < updated:
        return RolloutStatus("progressing", f"{available} of {updated} updated replicas available", available, wanted)
    return RolloutStatus("complete", f"{available} of {wanted} replicas updated and available", available, wanted)


def _stateful_set_status(workload: KubeObject) -> RolloutStatus:
    wanted, updated, ready = (
        _desired_replicas(workload),
        _status_count(workload, "updatedReplicas"),
        _status_count(workload, "readyReplicas"),
    )
    if _update_strategy(workload) == "OnDelete":
        return _on_delete_status(ready, updated, wanted)
    partition = number_at(workload.body, "spec", "updateStrategy", "rollingUpdate", "partition") or 0
    if ready < wanted:
        return RolloutStatus("progressing", f"{ready} of {wanted} replicas ready", ready, wanted)
    if updated < wanted - partition:
        return RolloutStatus("progressing", f"{updated} of {wanted - partition} replicas updated", updated, wanted)
    return RolloutStatus("complete", f"{ready} of {wanted} replicas ready", ready, wanted)


def _daemon_set_status(workload: KubeObject) -> RolloutStatus:
    wanted, updated = _desired_replicas(workload), _status_count(workload, "updatedNumberScheduled")
    available = _status_count(workload, "numberAvailable")
    if _update_strategy(workload) == "OnDelete":
        return _on_delete_status(available, updated, wanted)
    if wanted == 0:
        return RolloutStatus("complete", "no node matches its selector and tolerations, so it has no pods", 0, 0)
    if updated < wanted:
        return RolloutStatus("progressing", f"{updated} of {wanted} pods updated", updated, wanted)
    if available < wanted:
        return RolloutStatus("progressing", f"{available} of {wanted} pods available", available, wanted)
    return RolloutStatus("complete", f"{available} of {wanted} pods updated and available", available, wanted)


def _on_delete_status(ready: int, updated: int, wanted: int) -> RolloutStatus:
    message = f"{updated} of {wanted} pods updated (its strategy is OnDelete: pods change when they are deleted)"
    if ready < wanted:
        return RolloutStatus("progressing", f"{ready} of {wanted} pods ready, {message}", ready, wanted)
    return RolloutStatus("complete", message, ready, wanted)


def newest_replica_set(workload: KubeObject, sets: list[KubeObject]) -> KubeObject | None:
    """Return the ReplicaSet of a Deployment's present revision, or the latest one."""
    revision = workload.annotations.get(REVISION, "")
    matching = [each for each in sets if revision and each.annotations.get(REVISION) == revision]
    return max(matching or sets, key=_revision_order, default=None)


def _revision_order(item: KubeObject) -> tuple[int, str]:
    number = item.annotations.get(REVISION, "")
    return int(number) if number.isdecimal() else 0, text_at(item.body, "metadata", "creationTimestamp")


def runs_newest_revision(pod: KubeObject, workload: KubeObject, newest: KubeObject | None) -> bool:
    """Return whether a pod is of the workload's present template, as far as its owner or its labels say."""
    if workload.kind in ("Deployment", "Rollout"):
        return newest is None or any(text_at(owner, "uid") == newest.uid for owner in pod.owners)
    if workload.kind == "StatefulSet":
        revision = text_at(workload.body, "status", "updateRevision")
        return not revision or pod.labels.get("controller-revision-hash", revision) == revision
    generation = workload.annotations.get("deprecated.daemonset.template.generation", "")
    return not generation or pod.labels.get("pod-template-generation", generation) == generation


def _update_strategy(workload: KubeObject) -> JsonValue:
    return dig(workload.body, "spec", "updateStrategy", "type")
