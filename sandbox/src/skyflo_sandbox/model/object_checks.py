"""Check one object of a kind that is no workload: volume claims, autoscalers, ingresses, nodes and any other kind."""

from dataclasses import dataclass, field

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, text_at
from skyflo_sandbox.model.findings import Finding, quote_event
from skyflo_sandbox.model.markdown import code
from skyflo_sandbox.model.plan import ObjectRef, Scope, Steps, ask, describe_failure
from skyflo_sandbox.model.resolve import Inventory
from skyflo_sandbox.model.service_selectors import check_service
from skyflo_sandbox.model.tool_output import Description, parse_description

__all__ = ["ObjectCheck", "autoscaler_problem", "bad_conditions", "check_object", "ingress_services"]

BACKENDS_AT_MOST = 5
# These conditions report a problem when they are True; every other one when it is False.
_BAD_WHEN_TRUE = frozenset(
    [
        "Degraded",
        "DiskPressure",
        "Failed",
        "FailureTarget",
        "FileSystemResizePending",
        "MemoryPressure",
        "NamespaceContentRemaining",
        "NamespaceDeletionContentFailure",
        "NamespaceDeletionDiscoveryFailure",
        "NamespaceDeletionGroupVersionParsingFailure",
        "NamespaceFinalizersRemaining",
        "NetworkUnavailable",
        "PIDPressure",
        "ReplicaFailure",
        "Stalled",
        "Terminating",
    ]
)
# Neither value of these is a problem.
_NEUTRAL = frozenset(
    ["Complete", "DisruptionTarget", "PodReadyToStartContainers", "ScalingLimited", "SuccessCriteriaMet", "Suspended"]
)


@dataclass(frozen=True)
class ObjectCheck:
    """What was read about one object. `gaps` names what could not be read."""

    ref: ObjectRef
    description: Description = field(default_factory=Description)
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = ()


def check_object(ref: ObjectRef) -> Steps[ObjectCheck]:
    """Describe an object and apply the rules of its kind."""
    (result,) = yield from ask(Scope(ref.cluster, ref.namespace).describe(ref.kind, ref.name))
    if not result.ok:
        return ObjectCheck(ref, gaps=(describe_failure(result),))
    description = parse_description(result.text)
    findings: tuple[Finding, ...] = ()
    gaps: tuple[str, ...] = ()
    if ref.kind == "persistentvolumeclaims":
        findings = _check_claim(ref, description)
    elif ref.kind == "horizontalpodautoscalers":
        findings = _check_autoscaler(ref, description)
    elif ref.kind == "ingresses":
        findings, gaps = yield from _check_ingress(ref, description)
    if object_at(description.body, "spec").get("suspend") is True:
        shown = ("field `spec.suspend`: `true`",)
        findings += (Finding(f"The {ref} is suspended, so it starts nothing.", shown, advice="Resume it to go on."),)
    return ObjectCheck(ref, description, findings, gaps)


def bad_conditions(description: Description) -> list[str]:
    """List the conditions, as k8s_describe prints them, that report a problem."""
    found = []
    for line in description.conditions:
        kind, equals, rest = line.partition("=")
        status = rest.split(" ", 1)[0]
        if not equals or kind in _NEUTRAL:
            continue
        if status in ("Unknown", "True" if kind in _BAD_WHEN_TRUE else "False"):
            found.append(line)
    # A pod that has completed is not ready by design.
    return [] if any("PodCompleted" in line for line in found) else found


def _check_claim(ref: ObjectRef, found: Description) -> tuple[Finding, ...]:
    phase = text_at(found.body, "status", "phase")
    if phase in ("", "Bound"):
        return ()
    wanted = text_at(found.body, "spec", "storageClassName") or "none"
    shown = [*(quote_event(event) for event in found.events[:2]), f"storage class: {code(wanted)}"]
    advice = "`list the storage classes` shows which ones exist."
    return (Finding(f"The {ref} is {phase}, so no pod can mount it.", tuple(shown), advice=advice),)


def _check_autoscaler(ref: ObjectRef, found: Description) -> tuple[Finding, ...]:
    lines = [line for line in found.conditions if line.startswith(("ScalingActive=False", "AbleToScale=False"))]
    if not lines:
        return ()
    shown = [f"condition {code(line)}" for line in lines]
    shown += [quote_event(event) for event in found.events if event.type == "Warning"][:1]
    advice = "The message says what is missing: often the metrics API, a resource request of the pods, or the target."
    return (Finding(f"The {ref} can't scale its target.", tuple(shown), advice=advice),)


def autoscaler_problem(body: JsonObject) -> str:
    """Return the reason why an autoscaler can't scale; empty if it can."""
    for condition in objects_at(body, "status", "conditions"):
        kind, status = text_at(condition, "type"), text_at(condition, "status")
        if kind in ("ScalingActive", "AbleToScale") and status == "False":
            return f"can't scale: {text_at(condition, 'reason') or kind}"
    return ""


def ingress_services(body: JsonObject) -> list[str]:
    """List the services that an ingress sends requests to."""
    backends = [object_at(body, "spec", "defaultBackend")]
    for rule in objects_at(body, "spec", "rules"):
        backends += [object_at(path, "backend") for path in objects_at(rule, "http", "paths")]
    names = (dig(backend, "service", "name") for backend in backends)
    return list(dict.fromkeys(name for name in names if isinstance(name, str)))


def _check_ingress(ref: ObjectRef, found: Description) -> Steps[tuple[tuple[Finding, ...], tuple[str, ...]]]:
    """Check that each service behind an ingress exists and has ready endpoints."""
    findings: list[Finding] = []
    gaps: list[str] = []
    names = ingress_services(found.body)
    for name in names[:BACKENDS_AT_MOST]:
        service = ObjectRef("services", name, ref.namespace, ref.cluster)
        check = yield from check_service(service, Inventory(Scope(ref.cluster, ref.namespace)))
        shown = (f"backend of the ingress: service {code(name)}",)
        if check.is_missing:
            what = f"The {ref} sends requests to service {code(name)}, which does not exist."
            findings.append(Finding(what, shown, advice="Create the service, or correct its name in the ingress."))
        elif check.gaps:
            gaps += check.gaps
        elif check.selector and not check.ready:
            what = f"The {ref} sends requests to service {code(name)}, which has no ready endpoints."
            pods = f"pods that its selector matches: {len(check.pods)}, of them ready: {check.ready}"
            findings.append(Finding(what, (*shown, pods), advice=f"Ask `why is service {name} not reachable?`"))
    if not names:
        gaps.append("I found no backend service in its spec")
    gaps += [f"service {code(name)}" for name in names[BACKENDS_AT_MOST:]]
    return tuple(findings), tuple(gaps)
