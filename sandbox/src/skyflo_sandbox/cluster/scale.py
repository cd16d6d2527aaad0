"""The scale subresource: desired and actual replicas of a workload."""

from skyflo_common.jsontypes import JsonObject, number_at, object_at, text_at
from skyflo_sandbox.cluster.errors import bad_request, conflict, invalid, invalid_value
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.tables.rows import selector_text
from skyflo_sandbox.cluster.type_check import find_type_error

__all__ = ["apply_scale", "build_scale"]

_METADATA = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def build_scale(workload: JsonObject) -> JsonObject:
    """Build the Scale of a Deployment or ReplicaSet."""
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


def apply_scale(kind: Kind, workload: JsonObject, scale: JsonObject) -> JsonObject:
    """Return the workload with the Scale's replicas.

    Raises `ApiError`: 409 for another uid or resourceVersion, 422 for negative replicas, 400 for a malformed Scale.
    """
    if found := find_type_error("Scale", scale):
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
        problem = invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise invalid("Scale", "autoscaling", name, [problem])
    return {**workload, "spec": {**object_at(workload, "spec"), "replicas": replicas}}
