"""The Deployment controller: a ReplicaSet for each template, and the way from one to the next."""

from collections.abc import Iterable

from skyflo_sandbox.cluster.kinds import DEPLOYMENT, POD, REPLICA_SET
from skyflo_sandbox.cluster.life import progress, rolling
from skyflo_sandbox.cluster.life.context import Context, Key
from skyflo_sandbox.cluster.life.objects import (
    condition,
    controller_of,
    deleting,
    epoch,
    name_of,
    namespace_of,
    owned_by,
    owner_reference,
    template_hash,
    with_metadata,
)
from skyflo_sandbox.cluster.life.revisions import HASH, REVISION, annotated, new_one, revision
from skyflo_sandbox.cluster.state import Change
from skyflo_sandbox.cluster.statuses import Refused
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, dig, number_at, object_at, strings_at, text_at

__all__ = ["Deployments"]

SOURCE = "deployment-controller"
RETRY_SECONDS = 5.0


class Deployments:
    """RollingUpdate and Recreate, pause, scaling amid a rollout, history."""

    name = "deployments"

    def __init__(self, context: Context) -> None:
        self._context = context

    def hears(self, change: Change) -> Iterable[Key]:
        if change.kind is DEPLOYMENT and change.type != "DELETED":
            return [(namespace_of(change.object), name_of(change.object))]
        if change.kind is REPLICA_SET:
            return self._owner(change.object)
        if change.kind is POD and change.type == "DELETED":
            owner = text_at(controller_of(change.object), "name")
            found = self._context.state.get(REPLICA_SET, namespace_of(change.object), owner)
            return self._owner(found) if found else []
        return []

    def _owner(self, body: JsonObject) -> list[Key]:
        owner = controller_of(body)
        is_ours = owner is not None and owner.get("kind") == "Deployment"
        return [(namespace_of(body), text_at(owner, "name"))] if is_ours else []

    def sync(self, namespace: str, name: str) -> None:
        deployment = self._context.state.get(DEPLOYMENT, namespace, name)
        if deployment is None:
            return
        if deleting(deployment):
            self._report(deployment, rollout=False)
            return
        deployment = self._note_pause(deployment)
        if dig(deployment, "spec", "paused") is True:
            deployment = self._numbered(deployment, create=False)
            self._scale(deployment)
            self._forget_old(deployment)
            self._report(deployment, rollout=False)
        elif self._is_scaled(deployment):
            deployment = self._numbered(deployment, create=False)
            self._scale(deployment)
            self._report(deployment, rollout=False)
        elif _recreates(deployment):
            self._recreate(deployment)
        else:
            self._roll(deployment)

    def _note_pause(self, deployment: JsonObject) -> JsonObject:
        status = progress.paused_condition(deployment, self._context.timestamp())
        return self._context.write_status(DEPLOYMENT, deployment, status)

    def _roll(self, deployment: JsonObject) -> None:
        deployment = self._numbered(deployment, create=True)
        new, old = self._sets(deployment)
        if new is not None:
            limits = rolling.bounds(deployment)
            wanted = rolling.new_size(limits, rolling.size(new), rolling.total([new, *old]), recreate=False)
            if wanted != rolling.size(new):
                self._resize(deployment, new, wanted)
            else:
                for name, count in rolling.old_sizes(limits, new, [each for each in old if rolling.size(each)]).items():
                    self._resize(deployment, next(each for each in old if name_of(each) == name), count)
        self._report(deployment, rollout=True)

    def _recreate(self, deployment: JsonObject) -> None:
        """Every old pod goes before the first new one comes."""
        deployment = self._numbered(deployment, create=False)
        _, old = self._sets(deployment)
        shrinking = [each for each in old if rolling.size(each)]
        for each in shrinking:
            self._resize(deployment, each, 0)
        if not shrinking and not self._pods_of(deployment, old):
            deployment = self._numbered(deployment, create=True)
            new, _ = self._sets(deployment)
            wanted = rolling.bounds(deployment).wanted
            if new is not None and rolling.size(new) != wanted:
                self._resize(deployment, new, wanted)
        self._report(deployment, rollout=True)

    def _pods_of(self, deployment: JsonObject, replica_sets: list[JsonObject]) -> bool:
        pods = self._context.state.objects(POD, namespace_of(deployment))
        running = [pod for pod in pods if text_at(pod, "status", "phase") not in ("Succeeded", "Failed")]
        return any(owned_by(each, running) for each in replica_sets)

    def _sets(self, deployment: JsonObject) -> tuple[JsonObject | None, list[JsonObject]]:
        """The present ReplicaSet and the others, as they are now."""
        every = owned_by(deployment, self._context.state.objects(REPLICA_SET, namespace_of(deployment)))
        new = new_one(deployment, every)
        return new, [each for each in every if each is not new]

    def _numbered(self, deployment: JsonObject, *, create: bool) -> JsonObject:
        """Sees to the present ReplicaSet and to the revision numbers. Returns the Deployment as it is then."""
        new, old = self._sets(deployment)
        number = max((revision(each) for each in old), default=0) + 1
        limits = rolling.bounds(deployment)
        if new is None and not create:
            return deployment
        if new is None:
            deployment, new = self._create(deployment, old, limits, number)
        if new is None:
            return deployment
        wanted = annotated(deployment, new, limits, number)
        new = self._context.state.replace(REPLICA_SET, with_metadata(new, annotations={**wanted}))
        annotations: JsonObject = {**object_at(deployment, "metadata", "annotations"), REVISION: str(revision(new))}
        return self._context.state.replace(DEPLOYMENT, with_metadata(deployment, annotations=annotations))

    def _create(
        self, deployment: JsonObject, old: list[JsonObject], limits: rolling.Bounds, number: int
    ) -> tuple[JsonObject, JsonObject | None]:
        count = rolling.new_size(limits, 0, rolling.total(old), recreate=_recreates(deployment))
        body = self._replica_set(deployment, count)
        body = with_metadata(body, annotations={**annotated(deployment, body, limits, number)})
        try:
            new = self._context.api.create(
                REPLICA_SET, namespace_of(deployment), body, manager="kube-controller-manager"
            )
        except Refused as refused:
            self._context.again(self.name, deployment, RETRY_SECONDS)
            return self._told(deployment, "False", "ReplicaSetCreateError", str(refused)), None
        if count:
            text = f"Scaled up replica set {name_of(new)} from 0 to {count}"
            self._context.recorder.record(DEPLOYMENT, deployment, "ScalingReplicaSet", text, source=SOURCE)
        text = f'Created new replica set "{name_of(new)}"'
        return self._told(deployment, "True", "NewReplicaSetCreated", text), new

    def _told(self, deployment: JsonObject, value: str, reason: str, text: str) -> JsonObject:
        """The Deployment with that condition, if it has a deadline and so reports progress."""
        if progress.deadline(deployment) is None:
            return deployment
        now = self._context.timestamp()
        status = progress.set_condition(object_at(deployment, "status"), "Progressing", value, reason, text, now)
        return self._context.write_status(DEPLOYMENT, deployment, status)

    def _replica_set(self, deployment: JsonObject, count: int) -> JsonObject:
        template = object_at(deployment, "spec", "template")
        mark, name = self._free_name(deployment, template)
        labels: JsonObject = {**strings_at(template, "metadata", "labels"), HASH: mark}
        selector = object_at(deployment, "spec", "selector")
        matched: JsonObject = {**strings_at(selector, "matchLabels"), HASH: mark}
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

    def _free_name(self, deployment: JsonObject, template: JsonObject) -> tuple[str, str]:
        """The template's hash and the name made of it; another hash where the name is taken by another template."""
        salt = 0
        while True:
            mark = template_hash(template, salt)
            name = f"{name_of(deployment)}-{mark}"
            if self._context.state.get(REPLICA_SET, namespace_of(deployment), name) is None:
                return mark, name
            salt += 1

    def _is_scaled(self, deployment: JsonObject) -> bool:
        """Whether the number of replicas is another than the ReplicaSets were made for."""
        new, old = self._sets(deployment)
        wanted = str(rolling.bounds(deployment).wanted)
        active = [each for each in [new, *old] if each is not None and rolling.size(each)]
        recorded = [strings_at(each, "metadata", "annotations").get(rolling.DESIRED, "") for each in active]
        return any(each and each != wanted for each in recorded)

    def _scale(self, deployment: JsonObject) -> None:
        new, old = self._sets(deployment)
        limits = rolling.bounds(deployment)
        active = [each for each in [*old, *([new] if new else [])] if rolling.size(each)]
        last = new or max(old, key=revision, default=None)
        if len(active) <= 1:
            only = active[0] if active else last
            if only is not None:
                self._resize(deployment, only, limits.wanted)
        elif new is not None and _saturated(limits, new):
            for each in old:
                self._resize(deployment, each, 0)
        elif not _recreates(deployment):
            for name, count in rolling.proportional(limits, active).items():
                self._resize(deployment, next(each for each in active if name_of(each) == name), count)

    def _resize(self, deployment: JsonObject, replica_set: JsonObject, count: int) -> None:
        """Sets the size, and notes for which size of the Deployment it was made."""
        current = self._context.state.get(REPLICA_SET, namespace_of(replica_set), name_of(replica_set))
        if current is None:
            return
        limits, before = rolling.bounds(deployment), rolling.size(current)
        noted = {rolling.DESIRED: str(limits.wanted), rolling.MAXIMUM: str(limits.most)}
        annotations: JsonObject = {**object_at(current, "metadata", "annotations"), **noted}
        body = with_metadata(current, annotations=annotations)
        self._context.state.replace(REPLICA_SET, {**body, "spec": {**object_at(body, "spec"), "replicas": count}})
        if before != count:
            way = "up" if count > before else "down"
            text = f"Scaled {way} replica set {name_of(current)} from {before} to {count}"
            self._context.recorder.record(DEPLOYMENT, deployment, "ScalingReplicaSet", text, source=SOURCE)

    def _report(self, deployment: JsonObject, *, rollout: bool) -> None:
        """The status. With `rollout` also how far it is, and the end of it cleans up the history."""
        new, old = self._sets(deployment)
        every, now = [*old, *([new] if new else [])], self._context.timestamp()
        status = progress.counted(deployment, rolling.bounds(deployment), new, every, now)
        if rollout:
            if progress.has_finished(deployment, status):
                self._forget_old(deployment)
            status = progress.progress(deployment, status, new, now)
        deployment = self._context.write_status(DEPLOYMENT, deployment, status)
        self._watch_deadline(deployment)

    def _watch_deadline(self, deployment: JsonObject) -> None:
        found, seconds = condition(deployment, "Progressing"), progress.deadline(deployment)
        if (
            found is None
            or seconds is None
            or found.get("reason") == progress.COMPLETE
            or found.get("status") == "False"
        ):
            return
        until = epoch(text_at(found, "lastUpdateTime")) + seconds + 1
        self._context.again(self.name, deployment, max(until - self._context.clock.now(), 1.0))

    def _forget_old(self, deployment: JsonObject) -> None:
        """Keeps so many old ReplicaSets as its history may have."""
        limit = number_at(deployment, "spec", "revisionHistoryLimit")
        _, old = self._sets(deployment)
        empty = [each for each in old if not rolling.size(each) and not number_at(each, "status", "replicas")]
        surplus = len(old) - (10 if limit is None else limit)
        for each in sorted(empty, key=revision)[: max(surplus, 0)]:
            self._context.api.delete(REPLICA_SET, namespace_of(each), name_of(each))


def _recreates(deployment: JsonObject) -> bool:
    return text_at(deployment, "spec", "strategy", "type") == "Recreate"


def _saturated(limits: rolling.Bounds, new: JsonObject) -> bool:
    sizes = [rolling.size(new), rolling.available(new)]
    return sizes == [limits.wanted] * 2
