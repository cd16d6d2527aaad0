"""Why is X failing? Reads what is about X, and names the cause with its evidence."""

from dataclasses import dataclass, replace

from skyflo_sandbox.jsontypes import objects_at, text_at
from skyflo_sandbox.model import health
from skyflo_sandbox.model.answers import bullets, code, counted, fenced, lines_of, orders_in, quoted
from skyflo_sandbox.model.causes import Finding, causes_of
from skyflo_sandbox.model.clues import last_words
from skyflo_sandbox.model.evidence import Evidence, examine
from skyflo_sandbox.model.finding import Found, Survey, find, pods_of, scope_of
from skyflo_sandbox.model.overview import overview
from skyflo_sandbox.model.plan import Answer, Memory, Ref, Steps
from skyflo_sandbox.model.subjects import Subject
from skyflo_sandbox.model.wiring import Wiring, examine_service, service_near
from skyflo_sandbox.model.words import Request

__all__ = ["Diagnosis", "diagnose", "told_cause", "why"]

_WORKLOADS = ("deployments", "statefulsets", "daemonsets")


@dataclass(frozen=True)
class Diagnosis:
    """What was found about an object. `seen` is the survey before it."""

    ref: Ref
    findings: tuple[Finding, ...]
    evidence: Evidence | None
    wiring: Wiring | None

    @property
    def fixable(self) -> Finding | None:
        return next((finding for finding in self.findings if finding.fix), None)


def why(request: Request, memory: Memory) -> Steps[Answer]:
    """The cause of what is wrong with one object, or an overview where none is named."""
    if _is_about_all(request, memory):
        answer = yield from overview(scope_of(request, memory))
        if answer is not None:
            return answer
        request = as_object(request)
    found = yield from find(request, memory)
    if found.ref.kind == "namespaces":
        inside = yield from overview(replace(found.survey.scope, namespace=found.ref.name))
        return inside or Answer(f"The namespace {code(found.ref.name)} is no longer there.")
    diagnosis = yield from diagnose(found, request)
    return _answer(diagnosis, request)


def as_object(request: Request) -> Request:
    """`in checkout`, where no namespace has that name: it may be an object."""
    subject = request.subject
    return replace(request, subject=replace(subject, names=(subject.namespace,), namespace=""))


def _is_about_all(request: Request, memory: Memory) -> bool:
    subject, focus = request.subject, memory.focus
    if subject.names:
        return False
    on_something = focus is not None and focus.kind != "namespaces" and not (subject.namespace or subject.everywhere)
    return not on_something or request.whole or (bool(subject.kind) and not subject.pronoun)


def diagnose(found: Found, request: Request) -> Steps[Diagnosis]:
    """Looks at the workload, its pods and its service, in that order, until a cause is found."""
    seen, about_service = found.survey, request.subject.kind in ("services", "endpointslices")
    workload = found.of_kind(*_WORKLOADS) or found.of_kind("pods")
    service = found.of_kind("services") or _service_of(workload, seen)
    evidence, wiring = None, None
    findings: list[Finding] = []
    if workload and not about_service:
        evidence = yield from examine(workload, seen, thoroughly=request.slow)
        findings += causes_of(evidence)
    if service and not findings:
        wiring = yield from examine_service(service, seen)
        findings += wiring.findings
        if not findings and wiring.pods and not wiring.ready and evidence is None:
            behind = _behind(wiring, seen)
            if behind:
                evidence = yield from examine(behind, seen)
                findings += causes_of(evidence)
    return Diagnosis(workload if workload and not about_service else found.ref, tuple(findings), evidence, wiring)


def _service_of(workload: Ref | None, seen: Survey) -> Ref | None:
    row = service_near(workload.name, workload.namespace, seen) if workload and workload.kind in _WORKLOADS else None
    return Ref("services", row["NAME"], row["NAMESPACE"], seen.scope.cluster) if row else None


def _behind(wiring: Wiring, seen: Survey) -> Ref | None:
    """The workload of the pods that a service leads to, else the first of them."""
    pod = wiring.pods[0].split()[0].removeprefix("pod/")
    namespace = wiring.ref.namespace
    for row in seen.deployments.rows:
        if any(
            mine["NAME"] == pod
            for mine in pods_of(row["NAME"], row["NAMESPACE"], seen.pods)
            if row["NAMESPACE"] == namespace
        ):
            return Ref("deployments", row["NAME"], namespace, wiring.ref.cluster)
    return Ref("pods", pod, namespace, wiring.ref.cluster)


def told_cause(finding: Finding) -> str:
    """A cause and its evidence, as they are said."""
    lines = f"Its last lines:\n\n{fenced(finding.lines)}{orders_in(finding.lines)}" if finding.lines else ""
    return lines_of(
        f"**{finding.what}**" if "**" not in finding.what else finding.what, bullets(finding.evidence), lines
    )


def _answer(diagnosis: Diagnosis, request: Request) -> Answer:
    ref = diagnosis.ref
    if not diagnosis.findings:
        return Answer(_nothing_wrong(diagnosis, request), ref)
    parts = [told_cause(finding) for finding in diagnosis.findings]
    fixable = diagnosis.fixable
    if fixable is None or fixable.fix is None:
        return Answer(lines_of(_state_line(diagnosis), *parts, diagnosis.findings[0].advice, *_gaps(diagnosis)), ref)
    say = f"Say `fix {ref.name}` and I propose this change: {fixable.fix.why[0].lower() + fixable.fix.why[1:]}"
    say = say.replace(": i ", ": I ").replace("change: i ", "change: I ")
    fixing = Request("fix", Subject(kind=ref.kind, names=(ref.name,), namespace=ref.namespace, cluster=ref.cluster))
    return Answer(lines_of(_state_line(diagnosis), *parts, say, *_gaps(diagnosis)), ref, proposal=fixing)


def _state_line(diagnosis: Diagnosis) -> str:
    """Where it stands, in one line."""
    evidence = diagnosis.evidence
    if evidence is None or not evidence.pods:
        return ""
    unwell = [row for row in evidence.pods if health.pod_trouble(row)]
    states = ", ".join(dict.fromkeys(health.pod_trouble(row) for row in unwell))
    if not unwell:
        return ""
    of_all = f"{len(unwell)} of {counted(len(evidence.pods), 'pod')} of"
    return f"{of_all if evidence.ref.kind != 'pods' else 'Of'} the {diagnosis.ref}: {states}."


def _gaps(diagnosis: Diagnosis) -> list[str]:
    gaps = diagnosis.evidence.gaps if diagnosis.evidence else ()
    gaps += diagnosis.wiring.gaps if diagnosis.wiring else ()
    return [f"Not looked at: {gap}" for gap in gaps[:2]]


def _nothing_wrong(diagnosis: Diagnosis, request: Request) -> str:
    """What was looked at, so that it is clear what was not."""
    looked = [*_looked_at_pods(diagnosis), *_looked_at_service(diagnosis)]
    slow = (
        "No tool here measures latency or load, so slowness itself I can't see; what I can see is above."
        if request.slow
        else ""
    )
    first = f"Nothing is wrong with the {diagnosis.ref} as far as I can see. I looked at:"
    return lines_of(first, bullets(looked or ["the object itself"]), slow, *_gaps(diagnosis))


def _looked_at_pods(diagnosis: Diagnosis) -> list[str]:
    evidence = diagnosis.evidence
    if evidence is None:
        return []
    found = [
        f"pod {code(row['NAME'])}: {row.get('STATUS', '')}, {row.get('READY', '')} ready, {row.get('RESTARTS', '0')}"
        " restarts"
        for row in evidence.pods[:5]
    ]
    conditions = [code(" ".join(each.split()[:2])) for each in evidence.workload.conditions]
    found += [f"its conditions: {', '.join(conditions[:3])}"] if conditions else []
    warnings = [event for event in evidence.events if event.type == "Warning"]
    found.append(f"its events: {counted(len(warnings), 'warning')}")
    found += [f"{event.reason} {quoted(event.message)}" for event in warnings[:2]]
    for container in objects_at(evidence.pod.body, "spec", "containers") if evidence.logs else []:
        if lines := last_words(evidence, text_at(container, "name")):
            found.append(f"the log of {code(text_at(container, 'name'))}; most telling line: {quoted(lines[-1])}")
    return found


def _looked_at_service(diagnosis: Diagnosis) -> list[str]:
    wiring = diagnosis.wiring
    if wiring is None:
        return []
    if not wiring.selector:
        return [f"service {code(wiring.ref.name)}: it has no selector, so its endpoints are not made from pods"]
    endpoints = ", ".join(wiring.endpoints[:3]) or "none yet"
    pods = f"{counted(len(wiring.pods), 'pod')}, {wiring.ready} ready"
    return [f"service {code(wiring.ref.name)}: its selector finds {pods}; endpoints {code(endpoints)}"]
