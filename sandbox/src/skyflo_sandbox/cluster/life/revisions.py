"""Which ReplicaSet is the Deployment's present one, and the numbers of its revisions."""

from skyflo_sandbox.cluster.life.objects import epoch, name_of, whole
from skyflo_sandbox.cluster.life.rolling import DESIRED, MAXIMUM, Bounds
from skyflo_sandbox.jsontypes import JsonObject, object_at, strings_at, text_at

__all__ = ["HASH", "REVISION", "annotated", "new_one", "numbered", "revision"]

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


def new_one(deployment: JsonObject, replica_sets: list[JsonObject]) -> JsonObject | None:
    """The oldest ReplicaSet whose template is the Deployment's."""
    wanted = object_at(deployment, "spec", "template")
    same = [each for each in replica_sets if _plain(object_at(each, "spec", "template")) == _plain(wanted)]
    return min(
        same, key=lambda each: (epoch(text_at(each, "metadata", "creationTimestamp")), name_of(each)), default=None
    )


def revision(body: JsonObject) -> int:
    """0 where none is written."""
    return whole(strings_at(body, "metadata", "annotations").get(REVISION, ""))


def numbered(annotations: dict[str, str], number: int) -> dict[str, str]:
    """With this revision; the one before it is kept in the history."""
    before = annotations.get(REVISION, "")
    if before == str(number):
        return annotations
    past = [each for each in [*annotations.get(HISTORY, "").split(","), before] if each]
    history = {HISTORY: ",".join(past[-20:])} if past else {}
    return {**annotations, **history, REVISION: str(number)}


def annotated(deployment: JsonObject, replica_set: JsonObject, limits: Bounds, number: int) -> dict[str, str]:
    """The annotations of the present ReplicaSet: the Deployment's, its revision and the sizes that scaling needs."""
    own = strings_at(replica_set, "metadata", "annotations")
    copied = {
        key: value for key, value in strings_at(deployment, "metadata", "annotations").items() if key not in _NOT_COPIED
    }
    sizes = {DESIRED: str(limits.wanted), MAXIMUM: str(limits.most)}
    return {**numbered({**own, **copied}, max(number, revision(replica_set))), **sizes}


def _plain(template: JsonObject) -> JsonObject:
    """A template without the label that a ReplicaSet's has, and without what is empty."""
    metadata = object_at(template, "metadata")
    labels = {key: value for key, value in strings_at(metadata, "labels").items() if key != HASH}
    rest: JsonObject = {**metadata, "labels": {**labels}}
    kept: JsonObject = {key: value for key, value in rest.items() if value and key != "creationTimestamp"}
    return {**template, "metadata": kept}
