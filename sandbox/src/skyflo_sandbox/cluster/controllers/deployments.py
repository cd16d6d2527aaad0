"""The Deployment controller: one ReplicaSet per template, and rollouts between them."""

from collections.abc import Iterable

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, number_at, object_at, strings_at, text_at
from skyflo_sandbox.cluster.controllers import deployment_status, rollout
from skyflo_sandbox.cluster.controllers.context import Context, Key
from skyflo_sandbox.cluster.controllers.objects import (
    controller_of,
    epoch_seconds,
    find_condition,
    is_deleting,
    name_of,
    namespace_of,
    owned_by,
    owner_reference,
    template_hash,
    with_metadata,
)
from skyflo_sandbox.cluster.controllers.revisions import (
    HASH,
    REVISION,
    find_new_replica_set,
    revision,
    revision_annotations,
)
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.kinds import DEPLOYMENT, POD, REPLICA_SET
from skyflo_sandbox.cluster.state import Change

__all__ = ["DeploymentController"]

EVENT_SOURCE = "deployment-controller"
RETRY_SECONDS = 5.0


class DeploymentController:
    """Implements RollingUpdate, Recreate, pausing, scaling during a rollout, and revision history."""

    name = "deployments"

    def __init__(self, context: Context) -> None:
        self._context = context

    def affected_keys(self, change: Change) -> Iterable[Key]:
        if change.kind is DEPLOYMENT and change.type != "DELETED":
            return [(namespace_of(change.object), name_of(change.object))]
        if change.kind is REPLICA_SET:
            return self._owner_keys(change.object)
        if change.kind is POD and change.type == "DELETED":
            owner = text_at(controller_of(change.object), "name")
            found = self._context.state.get(REPLICA_SET, namespace_of(change.object), owner)
            return self._owner_keys(found) if found else []
        return []

    def _owner_keys(self, body: JsonObject) -> list[Key]:
        owner = controller_of(body)
        is_ours = owner is not None and owner.get("kind") == "Deployment"
        return [(namespace_of(body), text_at(owner, "name"))] if is_ours else []

    def sync(self, namespace: str, name: str) -> None:
        deployment = self._context.state.get(DEPLOYMENT, namespace, name)
        if deployment is None:
            return
        if is_deleting(deployment):
            self._update_status(deployment, with_progress=False)
            return
        deployment = self._update_paused_condition(deployment)
        if dig(deployment, "spec", "paused") is True:
            deployment = self._sync_revisions(deployment, create=False)
            self._scale(deployment)
            self._clean_up_history(deployment)
            self._update_status(deployment, with_progress=False)
        elif self._is_scaling_event(deployment):
            deployment = self._sync_revisions(deployment, create=False)
            self._scale(deployment)
            self._update_status(deployment, with_progress=False)
        elif _is_recreate(deployment):
            self._recreate(deployment)
        else:
            self._roll(deployment)

    def _update_paused_condition(self, deployment: JsonObject) -> JsonObject:
        status = deployment_status.update_paused(deployment, self._context.timestamp())
        return self._context.write_status(DEPLOYMENT, deployment, status)

    def _roll(self, deployment: JsonObject) -> None:
        deployment = self._sync_revisions(deployment, create=True)
        new, old = self._replica_sets(deployment)
        if new is not None:
            limits = rollout.rollout_bounds(deployment)
            wanted = rollout.new_size(limits, rollout.size(new), rollout.total_replicas([new, *old]), recreate=False)
            if wanted != rollout.size(new):
                self._resize(deployment, new, wanted)
            else:
                for name, count in rollout.old_sizes(limits, new, [each for each in old if rollout.size(each)]).items():
                    self._resize(deployment, next(each for each in old if name_of(each) == name), count)
        self._update_status(deployment, with_progress=True)

    def _recreate(self, deployment: JsonObject) -> None:
        """Remove every old pod before the first new one is created."""
        deployment = self._sync_revisions(deployment, create=False)
        _, old = self._replica_sets(deployment)
        shrinking = [each for each in old if rollout.size(each)]
        for each in shrinking:
            self._resize(deployment, each, 0)
        if not shrinking and not self._has_running_pods(deployment, old):
            deployment = self._sync_revisions(deployment, create=True)
            new, _ = self._replica_sets(deployment)
            wanted = rollout.rollout_bounds(deployment).wanted
            if new is not None and rollout.size(new) != wanted:
                self._resize(deployment, new, wanted)
        self._update_status(deployment, with_progress=True)

    def _has_running_pods(self, deployment: JsonObject, replica_sets: list[JsonObject]) -> bool:
        pods = self._context.state.objects(POD, namespace_of(deployment))
        running = [pod for pod in pods if text_at(pod, "status", "phase") not in ("Succeeded", "Failed")]
        return any(owned_by(each, running) for each in replica_sets)

    def _replica_sets(self, deployment: JsonObject) -> tuple[JsonObject | None, list[JsonObject]]:
        """Return the current ReplicaSet, if any, and the old ones."""
        all_sets = owned_by(deployment, self._context.state.objects(REPLICA_SET, namespace_of(deployment)))
        new = find_new_replica_set(deployment, all_sets)
        return new, [each for each in all_sets if each is not new]

    def _sync_revisions(self, deployment: JsonObject, *, create: bool) -> JsonObject:
        """Create the current ReplicaSet if `create` is set, update revision numbers, return the stored Deployment."""
        new, old = self._replica_sets(deployment)
        number = max((revision(each) for each in old), default=0) + 1
        limits = rollout.rollout_bounds(deployment)
        if new is None and not create:
            return deployment
        if new is None:
            deployment, new = self._create(deployment, old, limits, number)
        if new is None:
            return deployment
        wanted = revision_annotations(deployment, new, limits, number)
        new = self._context.state.replace(REPLICA_SET, with_metadata(new, annotations={**wanted}))
        annotations: JsonObject = {**object_at(deployment, "metadata", "annotations"), REVISION: str(revision(new))}
        return self._context.state.replace(DEPLOYMENT, with_metadata(deployment, annotations=annotations))

    def _create(
        self, deployment: JsonObject, old: list[JsonObject], limits: rollout.RolloutBounds, number: int
    ) -> tuple[JsonObject, JsonObject | None]:
        count = rollout.new_size(limits, 0, rollout.total_replicas(old), recreate=_is_recreate(deployment))
        body = self._build_replica_set(deployment, count)
        body = with_metadata(body, annotations={**revision_annotations(deployment, body, limits, number)})
        try:
            new = self._context.api.create(
                REPLICA_SET, namespace_of(deployment), body, manager="kube-controller-manager"
            )
        except ApiError as refused:
            self._context.requeue_after(self.name, deployment, RETRY_SECONDS)
            return self._set_progressing(deployment, "False", "ReplicaSetCreateError", str(refused)), None
        if count:
            text = f"Scaled up replica set {name_of(new)} from 0 to {count}"
            self._context.recorder.record(DEPLOYMENT, deployment, "ScalingReplicaSet", text, source=EVENT_SOURCE)
        text = f'Created new replica set "{name_of(new)}"'
        return self._set_progressing(deployment, "True", "NewReplicaSetCreated", text), new

    def _set_progressing(self, deployment: JsonObject, value: str, reason: str, text: str) -> JsonObject:
        """Set the Progressing condition, unless the Deployment has no progress deadline."""
        if deployment_status.deadline(deployment) is None:
            return deployment
        now = self._context.timestamp()
        status = deployment_status.set_condition(
            object_at(deployment, "status"), "Progressing", value, reason, text, now
        )
        return self._context.write_status(DEPLOYMENT, deployment, status)

    def _build_replica_set(self, deployment: JsonObject, count: int) -> JsonObject:
        template = object_at(deployment, "spec", "template")
        hash_, name = self._unused_name(deployment, template)
        labels: JsonObject = {**strings_at(template, "metadata", "labels"), HASH: hash_}
        selector = object_at(deployment, "spec", "selector")
        matched: JsonObject = {**strings_at(selector, "matchLabels"), HASH: hash_}
        references: list[JsonValue] = [owner_reference(DEPLOYMENT, deployment)]
        spec: JsonObject = {
            "replicas": count,
            "selector": {**selector, "matchLabels": matched},
            "template": {**template, "metadata": {**object_at(template, "metadata"), "labels": labels}},
        }
        if ready := number_at(deployment, "spec", "minReadySeconds"):
            spec["minReadySeconds"] = ready
        return {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": name,
                "namespace": namespace_of(deployment),
                "labels": labels,
                "ownerReferences": references,
            },
            "spec": spec,
        }

    def _unused_name(self, deployment: JsonObject, template: JsonObject) -> tuple[str, str]:
        """Return a template hash and a ReplicaSet name; change the salt until the name is free."""
        salt = 0
        while True:
            hash_ = template_hash(template, salt)
            name = f"{name_of(deployment)}-{hash_}"
            if self._context.state.get(REPLICA_SET, namespace_of(deployment), name) is None:
                return hash_, name
            salt += 1

    def _is_scaling_event(self, deployment: JsonObject) -> bool:
        """Return whether the desired replicas differ from those recorded in the ReplicaSets."""
        new, old = self._replica_sets(deployment)
        wanted = str(rollout.rollout_bounds(deployment).wanted)
        active = [each for each in [new, *old] if each is not None and rollout.size(each)]
        recorded = [strings_at(each, "metadata", "annotations").get(rollout.DESIRED, "") for each in active]
        return any(each and each != wanted for each in recorded)

    def _scale(self, deployment: JsonObject) -> None:
        new, old = self._replica_sets(deployment)
        limits = rollout.rollout_bounds(deployment)
        active = [each for each in [*old, *([new] if new else [])] if rollout.size(each)]
        last = new or max(old, key=revision, default=None)
        if len(active) <= 1:
            only = active[0] if active else last
            if only is not None:
                self._resize(deployment, only, limits.wanted)
        elif new is not None and _is_saturated(limits, new):
            for each in old:
                self._resize(deployment, each, 0)
        elif not _is_recreate(deployment):
            for name, count in rollout.scale_proportionally(limits, active).items():
                self._resize(deployment, next(each for each in active if name_of(each) == name), count)

    def _resize(self, deployment: JsonObject, replica_set: JsonObject, count: int) -> None:
        """Set the size of a ReplicaSet, and record the Deployment's size for later proportional scaling."""
        current = self._context.state.get(REPLICA_SET, namespace_of(replica_set), name_of(replica_set))
        if current is None:
            return
        limits, before = rollout.rollout_bounds(deployment), rollout.size(current)
        sizes = {rollout.DESIRED: str(limits.wanted), rollout.MAXIMUM: str(limits.max_total)}
        annotations: JsonObject = {**object_at(current, "metadata", "annotations"), **sizes}
        body = with_metadata(current, annotations=annotations)
        self._context.state.replace(REPLICA_SET, {**body, "spec": {**object_at(body, "spec"), "replicas": count}})
        if before != count:
            direction = "up" if count > before else "down"
            text = f"Scaled {direction} replica set {name_of(current)} from {before} to {count}"
            self._context.recorder.record(DEPLOYMENT, deployment, "ScalingReplicaSet", text, source=EVENT_SOURCE)

    def _update_status(self, deployment: JsonObject, *, with_progress: bool) -> None:
        """Update the status; with progress also the Progressing condition, and clean up after a complete rollout."""
        new, old = self._replica_sets(deployment)
        all_sets, now = [*old, *([new] if new else [])], self._context.timestamp()
        status = deployment_status.build_status(deployment, rollout.rollout_bounds(deployment), new, all_sets, now)
        if with_progress:
            if deployment_status.is_complete(deployment, status):
                self._clean_up_history(deployment)
            status = deployment_status.update_progressing(deployment, status, new, now)
        deployment = self._context.write_status(DEPLOYMENT, deployment, status)
        self._requeue_at_deadline(deployment)

    def _requeue_at_deadline(self, deployment: JsonObject) -> None:
        found, seconds = find_condition(deployment, "Progressing"), deployment_status.deadline(deployment)
        if (
            found is None
            or seconds is None
            or found.get("reason") == deployment_status.COMPLETE
            or found.get("status") == "False"
        ):
            return
        until = epoch_seconds(text_at(found, "lastUpdateTime")) + seconds + 1
        self._context.requeue_after(self.name, deployment, max(until - self._context.clock.now(), 1.0))

    def _clean_up_history(self, deployment: JsonObject) -> None:
        """Delete old ReplicaSets beyond the revision history limit."""
        limit = number_at(deployment, "spec", "revisionHistoryLimit")
        _, old = self._replica_sets(deployment)
        empty = [each for each in old if not rollout.size(each) and not number_at(each, "status", "replicas")]
        surplus = len(old) - (10 if limit is None else limit)
        for each in sorted(empty, key=revision)[: max(surplus, 0)]:
            self._context.api.delete(REPLICA_SET, namespace_of(each), name_of(each))


def _is_recreate(deployment: JsonObject) -> bool:
    return text_at(deployment, "spec", "strategy", "type") == "Recreate"


def _is_saturated(limits: rollout.RolloutBounds, new: JsonObject) -> bool:
    sizes = [rollout.size(new), rollout.available(new)]
    return sizes == [limits.wanted] * 2
