"""Find a Deployment's current ReplicaSet, and number its revisions."""

from skyflo_common.jsontypes import JsonObject, object_at, strings_at, text_at
from skyflo_sandbox.cluster.controllers.objects import epoch_seconds, name_of, parse_count
from skyflo_sandbox.cluster.controllers.rollout import DESIRED, MAXIMUM, RolloutBounds

__all__ = ["HASH", "REVISION", "find_new_replica_set", "revision", "revision_annotations", "set_revision"]

HASH = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
_NOT_COPIED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    REVISION,
    HISTORY,
    DESIRED,
    MAXIMUM,
    "deprecated.deployment.rollback.to",
}


def find_new_replica_set(deployment: JsonObject, replica_sets: list[JsonObject]) -> JsonObject | None:
    """Return the oldest ReplicaSet that has the Deployment's template."""
    wanted = object_at(deployment, "spec", "template")
    same_template = [
        each
        for each in replica_sets
        if _comparable_template(object_at(each, "spec", "template")) == _comparable_template(wanted)
    ]
    return min(
        same_template,
        key=lambda each: (epoch_seconds(text_at(each, "metadata", "creationTimestamp")), name_of(each)),
        default=None,
    )


def revision(body: JsonObject) -> int:
    """Return the revision number of an object; 0 if it has none."""
    return parse_count(strings_at(body, "metadata", "annotations").get(REVISION, ""))


def set_revision(annotations: dict[str, str], number: int) -> dict[str, str]:
    """Set the revision, and append the previous one to the history."""
    before = annotations.get(REVISION, "")
    if before == str(number):
        return annotations
    past = [each for each in [*annotations.get(HISTORY, "").split(","), before] if each]
    history = {HISTORY: ",".join(past[-20:])} if past else {}
    return {**annotations, **history, REVISION: str(number)}


def revision_annotations(
    deployment: JsonObject, replica_set: JsonObject, limits: RolloutBounds, number: int
) -> dict[str, str]:
    """Build the annotations of the current ReplicaSet: copies from the Deployment, revision, sizes for scaling."""
    own = strings_at(replica_set, "metadata", "annotations")
    copied = {
        key: value for key, value in strings_at(deployment, "metadata", "annotations").items() if key not in _NOT_COPIED
    }
    sizes = {DESIRED: str(limits.wanted), MAXIMUM: str(limits.max_total)}
    return {**set_revision({**own, **copied}, max(number, revision(replica_set))), **sizes}


def _comparable_template(template: JsonObject) -> JsonObject:
    """Return a template without the pod-template-hash label and empty metadata, for comparison."""
    metadata = object_at(template, "metadata")
    labels = {key: value for key, value in strings_at(metadata, "labels").items() if key != HASH}
    rest: JsonObject = {**metadata, "labels": {**labels}}
    kept: JsonObject = {key: value for key, value in rest.items() if value and key != "creationTimestamp"}
    return {**template, "metadata": kept}
