"""Remove server-set fields that a reader rarely needs."""

from skyflo_common.jsontypes import JsonObject, objects_at, without

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
SERVER_SET_METADATA = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


def prune(body: JsonObject) -> JsonObject:
    """Return the object without managedFields, the last-applied annotation and an empty status."""
    result = dict(body)
    if isinstance(metadata := result.get("metadata"), dict):
        result["metadata"] = _prune_metadata(metadata, ("managedFields", "selfLink"))
    if not result.get("status"):
        result.pop("status", None)
    if isinstance(result.get("items"), list):
        result["items"] = [prune(item) for item in objects_at(body, "items")]
    return result


def comparable(body: JsonObject | None) -> JsonObject:
    """Return the fields that count when two versions of an object are compared: all but the server-set metadata."""
    if body is None:
        return {}
    result = dict(body)
    if isinstance(metadata := result.get("metadata"), dict):
        result["metadata"] = without(metadata, SERVER_SET_METADATA)
    return result


def without_side_fields(body: JsonObject | None, *, status: bool, last_applied: bool) -> JsonObject | None:
    """Return an object to show without its status, its last-applied annotation, or both."""
    if body is None:
        return None
    result = without(body, ("status",)) if status else dict(body)
    if last_applied and isinstance(metadata := result.get("metadata"), dict):
        result["metadata"] = _prune_metadata(metadata, ())
    return result


def _prune_metadata(metadata: JsonObject, dropped: tuple[str, ...]) -> JsonObject:
    result = without(metadata, dropped)
    if isinstance(annotations := result.get("annotations"), dict):
        kept = without(annotations, (LAST_APPLIED,))
        result["annotations"] = kept
        if not kept:
            result.pop("annotations")
    return result
