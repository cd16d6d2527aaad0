"""Tell the state of Argo CD's and Flux's objects in short: sync, health, operation, what is not healthy. No I/O."""

from skyflo_common.jsontypes import JsonObject, dig, number_at, object_at, objects_at, text_at, texts_at
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.shortening import one_line

MESSAGE_CHARACTERS = 600
MAX_RESOURCES_SHOWN = 20
REQUESTED_AT = "reconcile.fluxcd.io/requestedAt"
REFRESH = "argocd.argoproj.io/refresh"
MAX_HISTORY_SHOWN = 5
_WELL = ("", "Healthy")
_APPLICATION_HELP = (
    'to sync: k8s_patch {"operation": {"sync": {"revision": "..."}}}, with prune: true to delete what is gone; to roll '
    "back: the same with the revision of an earlier deployment, while automated sync is off; to refresh: k8s_annotate "
    f"{REFRESH}=normal, or hard"
)
_FLUX_HELP = (
    f"to reconcile now: k8s_annotate {REQUESTED_AT}=<time>; "
    "to suspend or resume: k8s_patch spec.suspend to true or false"
)


def gitops_lines(found: KubeObject) -> list[str]:
    """Return the lines about a redacted object; none for other kinds."""
    if is_application(found):
        return _application_lines(found)
    return [*_flux_lines(found), _FLUX_HELP] if is_flux(found) else []


def is_application(found: KubeObject) -> bool:
    return found.api_version.startswith("argoproj.io/") and found.kind == "Application"


def is_flux(found: KubeObject) -> bool:
    return found.api_version.partition("/")[0].endswith(".toolkit.fluxcd.io")


def is_automated(application: KubeObject) -> bool:
    """Return whether Argo CD syncs an Application without being asked."""
    automated = dig(application.body, "spec", "syncPolicy", "automated")
    return isinstance(automated, dict) and automated.get("enabled") is not False


def _application_lines(found: KubeObject) -> list[str]:
    sync, health = object_at(found.body, "status", "sync"), object_at(found.body, "status", "health")
    revision = text_at(sync, "revision")
    lines = [
        f"sync: {text_at(sync, 'status') or 'not known yet'}{f', revision {revision}' if revision else ''}",
        f"health: {_with_message(text_at(health, 'status') or 'not known yet', health)}",
        f"automated sync: {_automation(found)}",
    ]
    operation = object_at(found.body, "status", "operationState")
    if operation:
        when = text_at(operation, "finishedAt") or f"since {text_at(operation, 'startedAt')}"
        lines.append(f"latest operation: {_with_message(text_at(operation, 'phase'), operation)} ({when})")
    if "operation" in found.body:
        lines.append("an operation is requested that its controller has not taken yet")
    return [*lines, *_unwell_resources(found, operation), *_history_lines(found), _APPLICATION_HELP]


def _history_lines(found: KubeObject) -> list[str]:
    """Return the latest revisions that were deployed, newest first."""
    history = objects_at(found.body, "status", "history")
    return [
        f"deployed {text_at(each, 'deployedAt')}: {_revisions(each)} (history id {number_at(each, 'id') or 0})"
        for each in history[: -MAX_HISTORY_SHOWN - 1 : -1]
    ]


def _revisions(entry: JsonObject) -> str:
    several = ", ".join(texts_at(entry, "revisions"))
    return f"revision {text_at(entry, 'revision') or several or 'unknown'}"


def _automation(found: KubeObject) -> str:
    if not is_automated(found):
        return "off"
    automated = object_at(found.body, "spec", "syncPolicy", "automated")
    chosen = [name for name in ("prune", "selfHeal") if automated.get(name) is True]
    return f"on ({', '.join(chosen)})" if chosen else "on"


def _unwell_resources(found: KubeObject, operation: JsonObject) -> list[str]:
    """Return the resources that are not healthy or not in sync, and those that the latest sync could not apply."""
    lines = []
    for each in objects_at(found.body, "status", "resources"):
        health, sync = object_at(each, "health"), text_at(each, "status")
        state = text_at(health, "status")
        if state not in _WELL or sync not in ("", "Synced"):
            states = ", ".join(part for part in (sync, _with_message(state, health)) if part)
            lines.append(f"{resource_name(each)}: {states}")
    lines += [
        f"{resource_name(each)}: not applied{_with_message('', each)}"
        for each in objects_at(operation, "syncResult", "resources")
        if text_at(each, "status") == "SyncFailed" or text_at(each, "hookPhase") in ("Failed", "Error")
    ]
    more = len(lines) - MAX_RESOURCES_SHOWN
    if more > 0:
        return [*lines[:MAX_RESOURCES_SHOWN], f"… {more} more resources, k8s_get with path=status.resources shows all"]
    return lines or (
        ["all its resources are healthy and in sync"] if objects_at(found.body, "status", "resources") else []
    )


def resource_name(resource: JsonObject) -> str:
    namespace = text_at(resource, "namespace")
    return f"{text_at(resource, 'kind').lower()}/{text_at(resource, 'name')}" + (
        f" in {namespace}" if namespace else ""
    )


def _with_message(state: str, holder: JsonObject) -> str:
    message = one_line(text_at(holder, "message"), MESSAGE_CHARACTERS)
    return f"{state}: {message}" if message else state


def _flux_lines(found: KubeObject) -> list[str]:
    status = object_at(found.body, "status")
    lines = (
        ["SUSPENDED: it is not reconciled until spec.suspend is false"] if dig(found.body, "spec", "suspend") else []
    )
    applied, attempted = text_at(status, "lastAppliedRevision"), text_at(status, "lastAttemptedRevision")
    artifact = text_at(status, "artifact", "revision")
    lines += [f"applied revision: {applied}"] if applied else []
    lines += (
        [f"attempted revision: {attempted}, which is not the applied one"] if attempted not in ("", applied) else []
    )
    lines += [f"artifact: {artifact}"] if artifact else []
    observed, generation = number_at(status, "observedGeneration"), number_at(found.body, "metadata", "generation")
    if observed is not None and generation is not None and observed < generation:
        lines.append("its controller has not seen the latest change yet")
    requested = found.annotations.get(REQUESTED_AT, "")
    if requested and requested != text_at(status, "lastHandledReconcileAt"):
        lines.append(f"a reconciliation was requested ({requested}) that its controller has not done yet")
    failures = {name: number_at(status, name) for name in ("failures", "installFailures", "upgradeFailures")}
    return lines + [f"{name}: {count}" for name, count in failures.items() if count]
