"""What a DELETE makes of an object: marked, because something has to happen before, or gone."""

from dataclasses import dataclass

from skyflo_sandbox.clock import rfc3339
from skyflo_sandbox.cluster.kinds import NAMESPACE, POD, Kind
from skyflo_sandbox.cluster.statuses import Refused, failure, forbidden, invalid, quoted, unsupported
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, object_at, text_at

__all__ = ["Deletion", "marked"]

_PROTECTED = ("default", "kube-system", "kube-public")
_FINALIZERS = {"Foreground": "foregroundDeletion", "Orphan": "orphan"}
_ENDED = ("Succeeded", "Failed")
_POLICIES = ("Foreground", "Background", "Orphan", "nil")
_TERMINATING = (
    "The system is ensuring all content is removed from this namespace.  Upon completion, this namespace will "
    "automatically be purged by the system."
)


@dataclass(frozen=True)
class Deletion:
    """How something is to be deleted. `uid` and `revision`, where given, must be the stored ones."""

    propagation: str = "Background"
    grace_seconds: int | None = None
    uid: str = ""
    revision: str = ""


def marked(kind: Kind, live: JsonObject, wanted: Deletion, now: float) -> JsonObject | None:
    """The object as it waits for its end, or None where nothing has to be waited for. Raises `Refused`."""
    _refuse(kind, live, wanted)
    if kind == NAMESPACE:
        return _terminating(live, now)
    finalizers = _finalizers(live, wanted.propagation)
    grace = _grace(kind, live, wanted.grace_seconds)
    if not finalizers and not grace:
        return None
    metadata = {key: value for key, value in object_at(live, "metadata").items() if key != "finalizers"}
    metadata |= {"finalizers": finalizers} if finalizers else {}
    metadata |= _stamp(metadata, grace, now)
    return {**live, "metadata": metadata}


def _stamp(metadata: JsonObject, grace: int, now: float) -> JsonObject:
    """When it ends. A second deletion may only shorten it."""
    left = number_at(metadata, "deletionGracePeriodSeconds")
    if "deletionTimestamp" in metadata and (left is None or left <= grace):
        return {}
    return {"deletionTimestamp": rfc3339(now + grace), "deletionGracePeriodSeconds": grace}


def _grace(kind: Kind, live: JsonObject, wanted: int | None) -> int:
    """Seconds that a pod gets to end; none where no kubelet has it, or where it has ended."""
    if kind != POD or not text_at(live, "spec", "nodeName") or text_at(live, "status", "phase") in _ENDED:
        return 0
    if wanted is not None:
        return wanted
    own = number_at(live, "spec", "terminationGracePeriodSeconds")
    return 30 if own is None else own


def _finalizers(live: JsonObject, propagation: str) -> list[JsonValue]:
    there = object_at(live, "metadata").get("finalizers")
    kept = [each for each in there if each not in _FINALIZERS.values()] if isinstance(there, list) else []
    return [*kept, _FINALIZERS[propagation]] if propagation in _FINALIZERS else kept


def _terminating(live: JsonObject, now: float) -> JsonObject:
    metadata = {**object_at(live, "metadata"), "deletionTimestamp": rfc3339(now)}
    return {**live, "metadata": metadata, "status": {**object_at(live, "status"), "phase": "Terminating"}}


def _refuse(kind: Kind, live: JsonObject, wanted: Deletion) -> None:
    name, metadata = text_at(live, "metadata", "name"), object_at(live, "metadata")
    if wanted.propagation not in _POLICIES[:3]:
        problem = unsupported("propagationPolicy", wanted.propagation, _POLICIES)
        raise invalid("DeleteOptions", "meta.k8s.io", "", [problem])
    uid, revision = text_at(metadata, "uid"), text_at(metadata, "resourceVersion")
    if wanted.uid and wanted.uid != uid:
        why = f"the UID in the precondition ({wanted.uid}) does not match the UID in record ({uid})."
        raise _conflict(kind, name, f"{why} The object might have been deleted and then recreated")
    if wanted.revision and wanted.revision != revision:
        why = (
            f"the ResourceVersion in the precondition ({wanted.revision}) does not match the ResourceVersion in record"
        )
        raise _conflict(kind, name, f"{why} ({revision}). The object might have been modified")
    if kind == NAMESPACE and name in _PROTECTED:
        raise forbidden(kind, name, "this namespace may not be deleted")
    if kind == NAMESPACE and "deletionTimestamp" in metadata:
        raise _conflict(kind, name, _TERMINATING)


def _conflict(kind: Kind, name: str, why: str) -> Refused:
    """A deletion's conflict names the kind where others name the resource."""
    called = f"{kind.kind}.{kind.group}" if kind.group else kind.kind
    group: JsonObject = {"group": kind.group} if kind.group else {}
    details: JsonObject = {"name": name, **group, "kind": kind.kind}
    return failure(409, "Conflict", f"Operation cannot be fulfilled on {called} {quoted(name)}: {why}", details)
