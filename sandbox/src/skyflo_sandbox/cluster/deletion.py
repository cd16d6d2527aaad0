"""Decide what a DELETE does to an object: mark it for deletion, or remove it at once."""

from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, object_at, text_at
from skyflo_sandbox.clock import rfc3339
from skyflo_sandbox.cluster.errors import ApiError, api_error, forbidden, invalid, quote, unsupported_value
from skyflo_sandbox.cluster.kinds import NAMESPACE, POD, Kind

__all__ = ["DeletionOptions", "mark_for_deletion"]

_PROTECTED_NAMESPACES = ("default", "kube-system", "kube-public")
_PROPAGATION_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
_FINISHED_PHASES = ("Succeeded", "Failed")
_POLICIES = ("Foreground", "Background", "Orphan", "nil")
_TERMINATING_MESSAGE = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will "
    "automatically be purged by the system."
)


@dataclass(frozen=True)
class DeletionOptions:
    """Options of one deletion. `uid` and `revision`, if given, must match the stored object."""

    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str = ""
    revision: str = ""


def mark_for_deletion(kind: Kind, live: JsonObject, options: DeletionOptions, now: float) -> JsonObject | None:
    """Return the object marked for deletion, or None if it can be removed at once. Raises `ApiError`."""
    _check_preconditions(kind, live, options)
    if kind == NAMESPACE:
        return _terminating(live, now)
    finalizers = _finalizers(live, options.propagation)
    grace = _grace_seconds(kind, live, options.grace_seconds)
    if not finalizers and not grace:
        return None
    metadata = {key: value for key, value in object_at(live, "metadata").items() if key != "finalizers"}
    metadata |= {"finalizers": finalizers} if finalizers else {}
    metadata |= _deletion_metadata(metadata, grace, now)
    return {**live, "metadata": metadata}


def _deletion_metadata(metadata: JsonObject, grace: int, now: float) -> JsonObject:
    """Return the deletion timestamp and grace period; a repeated deletion may only shorten them."""
    left = number_at(metadata, "deletionGracePeriodSeconds")
    if "deletionTimestamp" in metadata and (left is None or left <= grace):
        return {}
    return {"deletionTimestamp": rfc3339(now + grace), "deletionGracePeriodSeconds": grace}


def _grace_seconds(kind: Kind, live: JsonObject, options: int | None) -> int:
    """Return the grace period in seconds; 0 for pods that have no node or have finished."""
    if kind != POD or not text_at(live, "spec", "nodeName") or text_at(live, "status", "phase") in _FINISHED_PHASES:
        return 0
    if options is not None:
        return options
    default = number_at(live, "spec", "terminationGracePeriodSeconds")
    return 30 if default is None else default


def _finalizers(live: JsonObject, propagation: str) -> list[JsonValue]:
    existing = object_at(live, "metadata").get("finalizers")
    kept = (
        [each for each in existing if each not in _PROPAGATION_FINALIZERS.values()]
        if isinstance(existing, list)
        else []
    )
    return [*kept, _PROPAGATION_FINALIZERS[propagation]] if propagation in _PROPAGATION_FINALIZERS else kept


def _terminating(live: JsonObject, now: float) -> JsonObject:
    metadata = {**object_at(live, "metadata"), "deletionTimestamp": rfc3339(now)}
    return {**live, "metadata": metadata, "status": {**object_at(live, "status"), "phase": "Terminating"}}


def _check_preconditions(kind: Kind, live: JsonObject, options: DeletionOptions) -> None:
    name, metadata = text_at(live, "metadata", "name"), object_at(live, "metadata")
    if options.propagation not in _POLICIES[:3]:
        problem = unsupported_value("propagationPolicy", options.propagation, _POLICIES)
        raise invalid("DeleteOptions", "meta.k8s.io", "", [problem])
    uid, revision = text_at(metadata, "uid"), text_at(metadata, "resourceVersion")
    if options.uid and options.uid != uid:
        why = f"the UID in the precondition ({options.uid}) does not match the UID in record ({uid})."
        raise _conflict(kind, name, f"{why} The object might have been deleted and then recreated")
    if options.revision and options.revision != revision:
        why = (
            f"the ResourceVersion in the precondition ({options.revision}) does not match the ResourceVersion in record"
        )
        raise _conflict(kind, name, f"{why} ({revision}). The object might have been modified")
    if kind == NAMESPACE and name in _PROTECTED_NAMESPACES:
        raise forbidden(kind, name, "this namespace may not be deleted")
    if kind == NAMESPACE and "deletionTimestamp" in metadata:
        raise _conflict(kind, name, _TERMINATING_MESSAGE)


def _conflict(kind: Kind, name: str, why: str) -> ApiError:
    """Build a conflict error. Deletion conflicts name the kind; other conflicts name the resource."""
    called = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    group: JsonObject = {"group": kind.group} if kind.group else {}
    details: JsonObject = {"name": name, **group, "kind": kind.kind}
    return api_error(409, "Conflict", f"Operation cannot be fulfilled on {called} {quote(name)}: {why}", details)
