"""The scale subresource: how many replicas are wanted and how many there are, in a form of its own."""

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.shapes import mismatch
from skyflo_sandbox.cluster.statuses import bad_request, conflict, invalid, wrong
from skyflo_sandbox.cluster.tables.rows import selector_text
from skyflo_sandbox.jsontypes import JsonObject, number_at, object_at, text_at

__all__ = ["scale_of", "scaled"]

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(workload: JsonObject) -> JsonObject:
    """The Scale of a Deployment or a ReplicaSet."""
    known = object_at(workload, "metadata")
    wanted = number_at(workload, "spec", "replicas") or 0
    there = number_at(workload, "status", "replicas") or 0
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: known[key] for key in _METADATA if key in known},
        "spec": {"replicas": wanted} if wanted else {},
        "status": {"replicas": there, "selector": selector_text(object_at(workload, "spec"))},
    }


def scaled(kind: Kind, workload: JsonObject, scale: JsonObject) -> JsonObject:
    """The workload with the Scale's replicas. Raises `Refused`: 409 for another uid or revision, 422, 400."""
    if found := mismatch("Scale", scale):
        raise bad_request(f'Scale in version "v1" cannot be handled as a Scale: {found}')
    name, known = text_at(workload, "metadata", "name"), object_at(workload, "metadata")
    named, uid, revision = (text_at(scale, "metadata", key) for key in ("name", "uid", "resourceVersion"))
    if named and named != name:
        raise bad_request(f"the name of the object ({named}) does not match the name on the URL ({name})")
    if uid and uid != known.get("uid"):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {text_at(known, 'uid')}"
        raise conflict(kind, name, why)
    if revision and revision != known.get("resourceVersion"):
        raise conflict(kind, name)
    replicas = number_at(scale, "spec", "replicas") or 0
    if replicas < 0:
        problem = wrong("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("Scale", "autoscaling", name, [problem])
    return {**workload, "spec": {**object_at(workload, "spec"), "replicas": replicas}}
