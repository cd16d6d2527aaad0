"""Leaving out what nobody asked for: bookkeeping of the API server that only costs a reader's attention."""

from skyflo_tools.jsontypes import JsonObject, objects_at, without

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
BOOKKEEPING = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink")


def pruned(body: JsonObject) -> JsonObject:
    """The object without managedFields, the last applied copy of itself, and an empty status."""
    result = dict(body)
    if isinstance(metadata := result.get("metadata"), dict):
        result["metadata"] = _metadata(metadata, ("managedFields", "selfLink"))
    if not result.get("status"):
        result.pop("status", None)
    if isinstance(result.get("items"), list):
        result["items"] = [pruned(item) for item in objects_at(body, "items")]
    return result


def comparable(body: JsonObject | None) -> JsonObject:
    """What of an object counts when two states of it are compared: no status, no bookkeeping."""
    if body is None:
        return {}
    result = without(body, ("status",))
    if isinstance(metadata := result.get("metadata"), dict):
        result["metadata"] = _metadata(metadata, BOOKKEEPING)
    return result


def _metadata(metadata: JsonObject, dropped: tuple[str, ...]) -> JsonObject:
    result = without(metadata, dropped)
    if isinstance(annotations := result.get("annotations"), dict):
        kept = without(annotations, (LAST_APPLIED,))
        result["annotations"] = kept
        if not kept:
            result.pop("annotations")
    return result
