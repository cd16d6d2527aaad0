"""The ReplicaSet controller: as many pods as are wanted, made from the template, and their count in the status."""

from collections.abc import Iterable

from skyflo_sandbox.cluster.kinds import POD, REPLICA_SET
from skyflo_sandbox.cluster.life.context import Context, Key
from skyflo_sandbox.cluster.life.objects import (
    condition,
    controller_of,
    deleting,
    epoch,
    is_ready,
    name_of,
    namespace_of,
    owned_by,
    owner_reference,
    suffix,
)
from skyflo_sandbox.cluster.state import Change
from skyflo_sandbox.cluster.statuses import Refused, forbidden
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, object_at, objects_at, strings_at, text_at

__all__ = ["ReplicaSets", "active"]

SOURCE = "replicaset-controller"
BURST = 25
PODS_AT_MOST = 350
PREFIX_CHARACTERS = 58
RETRY_SECONDS = 5.0


class ReplicaSets:
    """Adopts nothing: only pods that it has made count."""

    name = "replicasets"

    def __init__(self, context: Context) -> None:
        self._context = context

    def hears(self, change: Change) -> Iterable[Key]:
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
        pods = active(owned_by(found, self._context.state.objects(POD, namespace)))
        failure = None if deleting(found) else self._manage(found, pods)
        self._count(found, failure)

    def _manage(self, owner: JsonObject, pods: list[JsonObject]) -> str | None:
        """Makes or deletes pods. Returns why it could not, if so."""
        wanted = number_at(owner, "spec", "replicas")
        missing = (1 if wanted is None else wanted) - len(pods)
        if missing > 0:
            return self._create(owner, min(missing, BURST))
        for pod in sorted(pods, key=_worth)[: min(-missing, BURST)]:
            self._context.api.delete(POD, namespace_of(pod), name_of(pod))
            self._tell(owner, "SuccessfulDelete", f"Deleted pod: {name_of(pod)}")
        return None

    def _create(self, owner: JsonObject, count: int) -> str | None:
        for _ in range(count):
            try:
                self._refuse_too_many(owner)
                pod = self._context.api.create(
                    POD, namespace_of(owner), self._pod(owner), manager="kube-controller-manager"
                )
            except Refused as refused:
                self._tell(owner, "FailedCreate", f"Error creating: {refused}", warning=True)
                self._context.again(self.name, owner, RETRY_SECONDS)
                return str(refused)
            self._tell(owner, "SuccessfulCreate", f"Created pod: {name_of(pod)}")
        return None

    def _refuse_too_many(self, owner: JsonObject) -> None:
        """As a quota would, in its words: a sandbox has its bounds."""
        used = len(self._context.state.objects(POD))
        if used >= PODS_AT_MOST:
            counts = f"requested: pods=1, used: pods={used}, limited: pods={PODS_AT_MOST}"
            raise forbidden(POD, f"{name_of(owner)}-", f"exceeded quota: sandbox, {counts}")

    def _pod(self, owner: JsonObject) -> JsonObject:
        template = object_at(owner, "spec", "template")
        prefix = f"{name_of(owner)}-"[:PREFIX_CHARACTERS]
        references: list[JsonValue] = [owner_reference(REPLICA_SET, owner)]
        metadata: JsonObject = {
            **object_at(template, "metadata"),
            "name": f"{prefix}{suffix(self._context.names)}",
            "generateName": prefix,
            "namespace": namespace_of(owner),
            "ownerReferences": references,
        }
        metadata.pop("creationTimestamp", None)
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": object_at(template, "spec")}

    def _count(self, owner: JsonObject, failure: str | None) -> None:
        """The status: what is there now, whatever has just been asked for."""
        owner = self._context.state.get(REPLICA_SET, namespace_of(owner), name_of(owner)) or owner
        pods = active(owned_by(owner, self._context.state.objects(POD, namespace_of(owner))))
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
        """Those that have been ready long enough; looks again when the next one will have been."""
        needed = number_at(owner, "spec", "minReadySeconds") or 0
        since = [epoch(text_at(condition(pod, "Ready"), "lastTransitionTime")) for pod in ready]
        waits = [left for each in since if (left := each + needed - self._context.clock.now()) > 0]
        if needed and waits:
            self._context.again(self.name, owner, min(waits))
            return len(ready) - len(waits)
        return len(ready)

    def _conditions(self, owner: JsonObject, failure: str | None) -> JsonObject:
        if failure is None:
            return {}
        before = condition(owner, "ReplicaFailure")
        since = text_at(before, "lastTransitionTime") if before else self._context.timestamp()
        found: JsonObject = {
            "type": "ReplicaFailure",
            "status": "True",
            "reason": "FailedCreate",
            "message": failure,
            "lastTransitionTime": since,
        }
        return {"conditions": [found]}

    def _tell(self, owner: JsonObject, reason: str, text: str, *, warning: bool = False) -> None:
        self._context.recorder.record(
            REPLICA_SET, owner, reason, text, source=SOURCE, type_="Warning" if warning else "Normal"
        )


def active(pods: Iterable[JsonObject]) -> list[JsonObject]:
    """Those that count: neither finished nor about to go."""
    return [pod for pod in pods if not deleting(pod) and text_at(pod, "status", "phase") not in ("Succeeded", "Failed")]


def _worth(pod: JsonObject) -> tuple[bool, bool, bool, int, float]:
    """Which pods go first: without a node, pending, not ready, restarted often, young."""
    restarts = sum(number_at(each, "restartCount") or 0 for each in objects_at(pod, "status", "containerStatuses"))
    return (
        bool(text_at(pod, "spec", "nodeName")),
        text_at(pod, "status", "phase") != "Pending",
        is_ready(pod),
        -restarts,
        -epoch(text_at(pod, "metadata", "creationTimestamp")),
    )
