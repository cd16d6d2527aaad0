"""Find what a change destroys or takes away, by comparing the object before and after it."""

from collections.abc import Iterator, Sequence

from skyflo_common.jsontypes import JsonObject, dig, number_at, objects_at, text_at, texts_at
from skyflo_tools.kubernetes.field_paths import FieldPath, Missing, changed_paths, format_path, lost_paths, value_at
from skyflo_tools.risk import Risk
from skyflo_tools.shortening import name_some

MAX_NAMED = 10
_DATA_FIELDS = (".data", ".binaryData", ".stringData")
_RECLAIM_FIELDS = (
    ".persistentVolumeReclaimPolicy",
    ".reclaimPolicy",
    ".deletionPolicy",
    ".whenDeleted",
    ".whenScaled",
)
_DELETING_POLICIES = ("Delete", "Recycle")
_SWITCHES: tuple[FieldPath, ...] = ((".spec", ".paused"), (".spec", ".unschedulable"))
"""Flags that the API server leaves out when they are off."""
_HARMLESS_LOSSES: tuple[FieldPath, ...] = (
    (".metadata", ".annotations"),
    (".metadata", ".labels"),
    (".status",),
    *_SWITCHES,
)


def find_losses(before: JsonObject, after: JsonObject) -> tuple[list[str], list[Risk]]:
    """Return warnings about what is gone after an update, and its risks."""
    lost = lost_paths(before, after)
    changed = changed_paths(before, after)
    destroyed = [
        *_lost_data(before, lost),
        *_removed_controls(before, after),
        *_changed_controls(before, after, changed),
    ]
    risks = [Risk(level="destructive", reason=reason) for reason in destroyed]
    removed = [format_path(path) for path in lost if not _is_harmless(path)]
    risks += [Risk(level="high", reason=reason) for reason in _disruptions(before, after, changed)]
    if not removed:
        return [], risks
    text = _listed(removed)
    return [f"{_name(after)} loses {text}"], [*risks, Risk(level="high", reason=f"removes {text}")]


def _is_harmless(path: FieldPath) -> bool:
    return any(path[: len(root)] == root for root in _HARMLESS_LOSSES)


def _lost_data(before: JsonObject, lost: Sequence[FieldPath]) -> Iterator[str]:
    """Report data that is removed, wherever an object keeps data: a ConfigMap, a Secret, or a kind like them."""
    paths = [path for path in lost if path[0] in _DATA_FIELDS]
    whole = {path: value_at(before, path) for path in paths if len(path) == 1}
    keys = [(*path, f".{key}") for path, value in whole.items() if isinstance(value, dict) for key in value]
    removed = [format_path(path) for path in [*keys, *(path for path in paths if path not in whole)]]
    if removed:
        yield f"removes data: {_listed(removed)}"


def _removed_controls(before: JsonObject, after: JsonObject) -> Iterator[str]:
    """Report what protected the object or what it provided."""
    for parent in ("metadata", "spec"):
        names = texts_at(before, parent, "finalizers")
        removed = [name for name in names if name not in texts_at(after, parent, "finalizers")]
        if removed:
            yield f"removes finalizers, so that nothing is cleaned up at its deletion: {_listed(removed)}"
    owners = {text_at(owner, "uid") for owner in objects_at(before, "metadata", "ownerReferences")}
    added = [each for each in objects_at(after, "metadata", "ownerReferences") if text_at(each, "uid") not in owners]
    if added:
        names = [f"{text_at(owner, 'kind')}/{text_at(owner, 'name')}" for owner in added]
        yield f"is deleted together with a new owner, or at once if that does not exist: {_listed(names)}"
    if text_at(before, "kind") == "CustomResourceDefinition":
        versions = {text_at(each, "name") for each in objects_at(after, "spec", "versions") if each.get("served")}
        gone = [
            name
            for each in objects_at(before, "spec", "versions")
            if each.get("served") and (name := text_at(each, "name")) not in versions
        ]
        if gone:
            yield f"stops serving versions, with every object that is read by them: {_listed(gone)}"


def _changed_controls(before: JsonObject, after: JsonObject, changed: Sequence[FieldPath]) -> Iterator[str]:
    """Report settings that stop or delete something else."""
    if _replicas(before) > 0 and _replicas(after) == 0:
        yield "every replica is stopped"
    if number_at(after, "spec", "parallelism") == 0 and number_at(before, "spec", "parallelism") != 0:
        yield "every pod of the job is stopped"
    for path in changed:
        if path[-1] in _RECLAIM_FIELDS and value_at(after, path) in _DELETING_POLICIES:
            yield f"{format_path(path)} becomes {value_at(after, path)}: data is deleted with its claim"
    kind = text_at(before, "kind")
    if kind == "Node" and any(path[:2] == (".spec", ".taints") for path in changed):
        yield "changes the taints of a node, which decide whether pods may stay on it"
    if kind == "Namespace" and changed:
        yield "changes a namespace, and with it the rules for everything inside"


def _disruptions(before: JsonObject, after: JsonObject, changed: Sequence[FieldPath]) -> Iterator[str]:
    """Report settings that interrupt something without destroying it."""
    kind = text_at(before, "kind")
    prefixes = {path[:length] for path in changed for length in range(1, len(path) + 1)}
    if kind == "Service" and {(".spec", ".selector"), (".spec", ".externalName")} & prefixes:
        yield "sends the traffic of a service elsewhere"
    if kind == "Job" and dig(after, "spec", "suspend") is True and dig(before, "spec", "suspend") is not True:
        yield "stops the pods of a job until it is resumed"
    placement = (".spec", ".template", ".spec")
    if kind == "DaemonSet" and {(*placement, ".nodeSelector"), (*placement, ".affinity")} & prefixes:
        yield "changes on which nodes a daemon runs"
    if after.get("immutable") is True and before.get("immutable") is not True:
        yield "makes the object immutable, which can't be undone"
    if (".spec", ".template", ".spec", ".serviceAccountName") in prefixes:
        yield "changes the service account, and with it the rights of the pods"


def _replicas(body: JsonObject) -> int:
    """Return the wanted replicas; a workload without a number has one, a Scale without a number has none."""
    if "spec" not in body:
        return 0
    found = number_at(body, "spec", "replicas")
    if found is not None:
        return found
    has_default = not isinstance(value_at(body, (".spec", ".template")), Missing)
    return 1 if has_default and text_at(body, "kind") not in ("DaemonSet", "Job") else 0


def _name(body: JsonObject) -> str:
    return f"{text_at(body, 'kind').lower()}/{text_at(body, 'metadata', 'name')}"


def _listed(names: Sequence[str]) -> str:
    return name_some(names, MAX_NAMED)
