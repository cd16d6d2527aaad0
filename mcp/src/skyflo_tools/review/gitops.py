"""Say what a change of an Argo CD Application or a Flux object sets off. No I/O."""

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, text_at
from skyflo_tools.kubernetes.gitops_status import (
    REFRESH,
    REQUESTED_AT,
    is_application,
    is_automated,
    is_flux,
    resource_name,
)
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.risk import Risk
from skyflo_tools.shortening import name_some

MAX_NAMED = 10
_RUNNING = ("Running", "Terminating")


def review_gitops(before: KubeObject, after: JsonObject) -> tuple[list[str], list[Risk]]:
    """Return the warnings and risks of what a controller will do because of this change; none for other kinds."""
    if is_application(before):
        return _review_application(before, KubeObject(after))
    return _review_flux(before, KubeObject(after)) if is_flux(before) else ([], [])


def _review_application(before: KubeObject, after: KubeObject) -> tuple[list[str], list[Risk]]:
    warnings: list[str] = []
    risks: list[Risk] = []
    requested = object_at(after.body, "operation")
    if requested and requested != object_at(before.body, "operation"):
        warnings, risks = _review_operation(before, object_at(requested, "sync"))
    if after.annotations.get(REFRESH) and after.annotations.get(REFRESH) != before.annotations.get(REFRESH):
        then = ": automated sync is on, so what differs is applied" if is_automated(before) else ""
        warnings.append(f"its controller compares it with its source again{then}")
    return warnings, risks


def _review_operation(before: KubeObject, sync: JsonObject) -> tuple[list[str], list[Risk]]:
    if dig(sync, "dryRun") is True:
        return ["starts a dry run of a sync, which changes no resource"], []
    revision = text_at(sync, "revision") or text_at(before.body, "spec", "source", "targetRevision") or "HEAD"
    resources = objects_at(before.body, "status", "resources")
    differing = [resource_name(each) for each in resources if text_at(each, "status") not in ("", "Synced")]
    named = f"; out of sync now: {name_some(differing, MAX_NAMED)}" if differing else ""
    warnings = [f"starts a sync to revision {revision}{named}"]
    risks = [Risk(level="high", reason="a sync changes the resources of the application")]
    if dig(sync, "prune") is True:
        pruned = [resource_name(each) for each in resources if each.get("requiresPruning") is True]
        which = f": {name_some(pruned, MAX_NAMED)}" if pruned else ", by its present state none"
        warnings.append(f"deletes resources that its source no longer has{which}")
        risks.append(Risk(level="destructive", reason="the sync deletes resources that its source no longer has"))
    if "operation" in before.body:
        warnings.append("replaces an operation that its controller has not taken yet")
    if text_at(before.body, "status", "operationState", "phase") in _RUNNING:
        warnings.append("an operation is running: its controller takes this one only after it")
    present = text_at(before.body, "spec", "source", "targetRevision") or "HEAD"
    if is_automated(before) and ("source" in sync or "sources" in sync or revision != present):
        warnings.append("automated sync is on and syncs back to its source: turn it off first to stay at this revision")
    return warnings, risks


def _review_flux(before: KubeObject, after: KubeObject) -> tuple[list[str], list[Risk]]:
    warnings: list[str] = []
    risks: list[Risk] = []
    was, is_now = (dig(each.body, "spec", "suspend") is True for each in (before, after))
    if is_now and not was:
        warnings.append("it is not reconciled until it is resumed: later changes of its source wait")
    if was and not is_now:
        warnings.append("it is reconciled at once: what has changed in its source meanwhile is applied")
        risks.append(Risk(level="high", reason="applies what has changed while it was suspended"))
    if after.annotations.get(REQUESTED_AT) != before.annotations.get(REQUESTED_AT):
        done = (
            "it is suspended, so nothing happens until it is resumed" if is_now else "its controller reconciles it now"
        )
        warnings.append(f"asks for a reconciliation: {done}")
    return warnings, risks
