"""The ReplicaSet controller: create and delete pods, and count them in the status."""

from collections.abc import Iterable

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.controllers.context import Context, Key
from skyflo_sandbox.cluster.controllers.objects import (
    controller_of,
    epoch_seconds,
    find_condition,
    is_deleting,
    is_ready,
    name_of,
    namespace_of,
    owned_by,
    owner_reference,
    random_suffix,
)
from skyflo_sandbox.cluster.errors import ApiError, forbidden
from skyflo_sandbox.cluster.kinds import POD, REPLICA_SET
from skyflo_sandbox.cluster.state import Change

__all__ = ["ReplicaSetController", "active_pods"]

EVENT_SOURCE = "replicaset-controller"
MAX_PODS_PER_SYNC = 25
MAX_PODS = 350
MAX_PREFIX_LENGTH = 58
RETRY_SECONDS = 5.0


class ReplicaSetController:
    """Manages the pods that it has created; it does not adopt others."""

    name = "replicasets"

    def __init__(self, context: Context) -> None:
        self._context = context

    def affected_keys(self, change: Change) -> Iterable[Key]:
        if change.kind is REPLICA_SET and change.type != "DELETED":
            return [(namespace_of(change.object), name_of(change.object))]
        if change.kind is POD:
            owner = controller_of(change.object)
            if owner is not None and owner.get("kind") == "ReplicaSet":
                return [(namespace_of(change.object), text_at(owner, "name"))]
        return []

    def sync(self, namespace: str, name: str) -> None:
        found = self._context.state.get(REPLICA_SET, namespace, name)
        if found is None:
            return
        pods = active_pods(owned_by(found, self._context.state.objects(POD, namespace)))
        failure = None if is_deleting(found) else self._adjust_pods(found, pods)
        self._update_status(found, failure)

    def _adjust_pods(self, owner: JsonObject, pods: list[JsonObject]) -> str | None:
        """Create or delete pods. Returns the reason if it could not."""
        wanted = number_at(owner, "spec", "replicas")
        missing = (1 if wanted is None else wanted) - len(pods)
        if missing > 0:
            return self._create(owner, min(missing, MAX_PODS_PER_SYNC))
        for pod in sorted(pods, key=_deletion_rank)[: min(-missing, MAX_PODS_PER_SYNC)]:
            self._context.api.delete(POD, namespace_of(pod), name_of(pod))
            self._record(owner, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return None

    def _create(self, owner: JsonObject, count: int) -> str | None:
        for _ in range(count):
            try:
                self._check_pod_quota(owner)
                pod = self._context.api.create(
                    POD, namespace_of(owner), self._build_pod(owner), manager="kube-controller-manager"
                )
            except ApiError as refused:
                self._record(owner, "FailedCreate", f"Error creating: {refused}", warning=True)
                self._context.requeue_after(self.name, owner, RETRY_SECONDS)
                return str(refused)
            self._record(owner, "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return None

    def _check_pod_quota(self, owner: JsonObject) -> None:
        """Enforce the sandbox's pod limit, with the error message of a quota."""
        used = len(self._context.state.objects(POD))
        if used >= MAX_PODS:
            counts = f"requested: pods=1, used: pods={used}, limited: pods={MAX_PODS}"
            raise forbidden(POD, f"{name_of(owner)}-", f"exceeded quota: sandbox, {counts}")

    def _build_pod(self, owner: JsonObject) -> JsonObject:
        template = object_at(owner, "spec", "template")
        prefix = f"{name_of(owner)}-"[:MAX_PREFIX_LENGTH]
        references: list[JsonValue] = [owner_reference(REPLICA_SET, owner)]
        metadata: JsonObject = {
            **object_at(template, "metadata"),
            "name": f"{prefix}{random_suffix(self._context.names)}",
            "generateName": prefix,
            "namespace": namespace_of(owner),
            "ownerReferences": references,
        }
        metadata.pop("creationTimestamp", None)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": object_at(template, "spec")}

    def _update_status(self, owner: JsonObject, failure: str | None) -> None:
        """Update the status with the current counts."""
        owner = self._context.state.get(REPLICA_SET, namespace_of(owner), name_of(owner)) or owner
        pods = active_pods(owned_by(owner, self._context.state.objects(POD, namespace_of(owner))))
        ready = [pod for pod in pods if is_ready(pod)]
        labels = strings_at(owner, "spec", "template", "metadata", "labels").items()
        full = [pod for pod in pods if labels <= strings_at(pod, "metadata", "labels").items()]
        counts = {
            "fullyLabeledReplicas": len(full),
            "readyReplicas": len(ready),
            "availableReplicas": self._available(owner, ready),
        }
        status: JsonObject = {
            "replicas": len(pods),
            **{key: count for key, count in counts.items() if count},
            "observedGeneration": number_at(owner, "metadata", "generation") or 1,
            **self._conditions(owner, failure),
        }
        self._context.write_status(REPLICA_SET, owner, status)

    def _available(self, owner: JsonObject, ready: list[JsonObject]) -> int:
        """Count pods that have been ready for `minReadySeconds`; requeue for the next one."""
        needed = number_at(owner, "spec", "minReadySeconds") or 0
        since = [epoch_seconds(text_at(find_condition(pod, "Ready"), "lastTransitionTime")) for pod in ready]
        waits = [left for each in since if (left := each + needed - self._context.clock.now()) > 0]
        if needed and waits:
            self._context.requeue_after(self.name, owner, min(waits))
            return len(ready) - len(waits)
        return len(ready)

    def _conditions(self, owner: JsonObject, failure: str | None) -> JsonObject:
        if failure is None:
            return {}
        before = find_condition(owner, "ReplicaFailure")
        since = text_at(before, "lastTransitionTime") if before else self._context.timestamp()
        found: JsonObject = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": failure,
            "lastTransitionTime": since,
        }
        return {"conditions": [found]}

    def _record(self, owner: JsonObject, reason: str, text: str, *, warning: bool = False) -> None:
        self._context.recorder.record(
            REPLICA_SET, owner, reason, text, source=EVENT_SOURCE, type_="Warning" if warning else "Normal"
        )


def active_pods(pods: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the pods that are neither finished nor being deleted."""
    return [
        pod for pod in pods if not is_deleting(pod) and text_at(pod, "status", "phase") not in ("Succeeded", "Failed")
    ]


def _deletion_rank(pod: JsonObject) -> tuple[bool, bool, bool, int, float]:
    """Sort key for scaling down: unscheduled, pending, unready, often restarted and young pods first."""
    restarts = sum(number_at(each, "restartCount") or 0 for each in objects_at(pod, "status", "containerStatuses"))
    return (
        bool(text_at(pod, "spec", "nodeName")),
        text_at(pod, "status", "phase") != "Pending",
        is_ready(pod),
        -restarts,
        -epoch_seconds(text_at(pod, "metadata", "creationTimestamp")),
    )
