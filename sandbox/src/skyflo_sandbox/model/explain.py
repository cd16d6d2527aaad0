"""Explain why an object fails: read what surrounds it and name the cause with its evidence."""

from dataclasses import dataclass, replace

from skyflo_common.jsontypes import objects_at, text_at
from skyflo_sandbox.model import health
from skyflo_sandbox.model.change_grammar import accepted_forms
from skyflo_sandbox.model.diagnosis import find_causes
from skyflo_sandbox.model.evidence import Evidence, gather_evidence
from skyflo_sandbox.model.findings import Finding, quote_event
from skyflo_sandbox.model.log_patterns import informative_lines
from skyflo_sandbox.model.markdown import bullets, code, code_block, count_of, injection_note, paragraphs, quote
from skyflo_sandbox.model.object_checks import ObjectCheck, bad_conditions, check_object
from skyflo_sandbox.model.overview import overview
from skyflo_sandbox.model.plan import Answer, Memory, ObjectRef, PlanStopped, Scope, Steps
from skyflo_sandbox.model.resolve import (
    Inventory,
    ResolvedTarget,
    list_inventory,
    pods_of_workload,
    resolve_target,
    scope_of,
)
from skyflo_sandbox.model.service_selectors import ServiceCheck, check_service, service_for_workload
from skyflo_sandbox.model.targets import Target
from skyflo_sandbox.model.user_request import UserRequest

__all__ = ["Diagnosis", "as_object", "diagnose", "explain_refusal", "format_finding", "unexplained_signs", "why"]

_WORKLOADS = ("deployments", "statefulsets", "daemonsets", "jobs")
NO_RULE = "I have no rule for this; here is what I saw:"


@dataclass(frozen=True)
class Diagnosis:
    """What was found about an object. `evidence`, `service` and `other` are None where they were not read."""

    ref: ObjectRef
    findings: tuple[Finding, ...]
    evidence: Evidence | None = None
    service: ServiceCheck | None = None
    other: ObjectCheck | None = None

    @property
    def fixable(self) -> Finding | None:
        return next((finding for finding in self.findings if finding.fix), None)


def why(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Explain what is wrong with one object, or give an overview where none is named."""
    if _is_about_all(request, memory):
        answer = yield from overview(scope_of(request, memory))
        if answer is not None:
            return answer
        request = as_object(request)
    found = yield from resolve_target(request, memory)
    if found.ref.kind == "namespaces":
        inside = yield from overview(replace(found.inventory.scope, namespace=found.ref.name))
        return inside or Answer(f"The namespace {code(found.ref.name)} is no longer there.")
    diagnosis = yield from diagnose(found, request)
    return _answer(diagnosis, request)


def explain_refusal(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Say that no rule covers a change and which words are left over, then show the state of the object."""
    understood = f" I did not understand: {code(request.unused)}." if request.unused else ""
    first = f"**No rule for this request, so I propose no change.**{understood}"
    forms = f"What I understand: {accepted_forms(request.verb)}."
    target = request.target
    if not (target.names or (target.pronoun and memory.focus)):
        return Answer(paragraphs(first, forms), memory.focus)
    try:
        seen = yield from why(UserRequest("why", replace(target, everywhere=False)), memory)
    except PlanStopped:
        return Answer(paragraphs(first, forms), memory.focus)
    return Answer(paragraphs(first, forms, "Here is what I saw:", seen.text), seen.focus)


def as_object(request: UserRequest) -> UserRequest:
    """Read a namespace that does not exist as the name of an object: `what is wrong in checkout`."""
    target = request.target
    return replace(request, target=replace(target, names=(target.namespace,), namespace=""))


def _is_about_all(request: UserRequest, memory: Memory) -> bool:
    target, focus = request.target, memory.focus
    if target.names:
        return False
    has_focus = focus is not None and focus.kind != "namespaces" and not (target.namespace or target.everywhere)
    return not has_focus or request.whole or (bool(target.kind) and not target.pronoun)


def diagnose(found: ResolvedTarget, request: UserRequest) -> Steps[Diagnosis]:
    """Look at the workload, its pods and its service until a cause is found; at any other kind by itself."""
    about_service = request.target.kind in ("services", "endpointslices")
    workload = found.of_kind(*_WORKLOADS) or found.of_kind("pods")
    if workload is None and found.of_kind("services") is None:
        other = yield from check_object(found.ref)
        return Diagnosis(found.ref, other.findings, other=other)
    seen = yield from _with_pods(found)
    service = found.of_kind("services") or _service_of(workload, seen)
    evidence, check = None, None
    findings: list[Finding] = []
    if workload and not about_service:
        evidence = yield from gather_evidence(workload, seen, thoroughly=request.slow)
        findings += find_causes(evidence)
    if service and not findings:
        check = yield from check_service(service, seen)
        findings += check.findings
        if not findings and check.pods and not check.ready and evidence is None:
            evidence = yield from gather_evidence(_behind(check, seen), seen)
            findings += find_causes(evidence)
    ref = workload if workload and not about_service else found.ref
    return Diagnosis(ref, tuple(findings), evidence, check)


def _with_pods(found: ResolvedTarget) -> Steps[Inventory]:
    """Return the inventory, listed now where the object was found by its kind alone."""
    seen = found.inventory
    if {"pods", "deployments", "services"} <= seen.listed.keys():
        return seen
    listed, _ = yield from list_inventory(Scope(found.ref.cluster, found.ref.namespace))
    return listed


def _service_of(workload: ObjectRef | None, seen: Inventory) -> ObjectRef | None:
    if workload is None or workload.kind not in ("deployments", "statefulsets", "daemonsets"):
        return None
    row = service_for_workload(workload.name, workload.namespace, seen)
    return ObjectRef("services", row["NAME"], row["NAMESPACE"], seen.scope.cluster) if row else None


def _behind(check: ServiceCheck, seen: Inventory) -> ObjectRef:
    """Return the deployment of the pods behind a service, or the first of the pods."""
    pod = check.pods[0].split()[0].removeprefix("pod/")
    namespace = check.ref.namespace
    for row in seen.deployments.rows:
        mine = pods_of_workload(row["NAME"], namespace, seen.pods) if row["NAMESPACE"] == namespace else []
        if any(each["NAME"] == pod for each in mine):
            return ObjectRef("deployments", row["NAME"], namespace, check.ref.cluster)
    return ObjectRef("pods", pod, namespace, check.ref.cluster)


def format_finding(finding: Finding) -> str:
    """Format a cause with its evidence and log lines."""
    lines = f"Its last lines:\n\n{code_block(finding.lines)}{injection_note(finding.lines)}" if finding.lines else ""
    return paragraphs(f"**{finding.what}**", bullets(finding.evidence), lines)


def _answer(diagnosis: Diagnosis, request: UserRequest) -> Answer:
    ref = diagnosis.ref
    if not diagnosis.findings:
        return Answer(_without_finding(diagnosis, request), ref)
    parts = [format_finding(finding) for finding in diagnosis.findings]
    fixable = diagnosis.fixable
    if fixable is None or fixable.fix is None:
        advice = diagnosis.findings[0].advice
        return Answer(paragraphs(_state_line(diagnosis), *parts, advice, *_gaps(diagnosis)), ref)
    say = f"Say `fix {ref.name}` and I propose this change. {fixable.fix.why}"
    fixing = UserRequest("fix", Target(kind=ref.kind, names=(ref.name,), namespace=ref.namespace, cluster=ref.cluster))
    return Answer(paragraphs(_state_line(diagnosis), *parts, say, *_gaps(diagnosis)), ref, proposal=fixing)


def _state_line(diagnosis: Diagnosis) -> str:
    """Say in one line how many pods are not well."""
    evidence = diagnosis.evidence
    unwell = [row for row in evidence.pods if health.pod_problem(row)] if evidence else []
    if evidence is None or not unwell:
        return ""
    states = ", ".join(dict.fromkeys(health.pod_problem(row) for row in unwell))
    if evidence.ref.kind == "pods":
        return f"The {diagnosis.ref}: {states}."
    return f"{len(unwell)} of {count_of(len(evidence.pods), 'pod')} of the {diagnosis.ref}: {states}."


def _gaps(diagnosis: Diagnosis) -> list[str]:
    read = (diagnosis.evidence, diagnosis.service, diagnosis.other)
    gaps = [gap for each in read if each for gap in each.gaps]
    return [f"Not looked at: {gap}" for gap in gaps[:3]]


def unexplained_signs(diagnosis: Diagnosis) -> list[str]:
    """List signs of trouble that no rule explains: warning events and bad conditions first, then states of pods."""
    evidence, check, other = diagnosis.evidence, diagnosis.service, diagnosis.other
    signs: list[str] = []
    descriptions = [evidence.pod, evidence.workload] if evidence else []
    descriptions += [other.description] if other else []
    events = [event for each in descriptions for event in each.events if event.type == "Warning"]
    events += check.warnings if check else ()
    signs += [f"warning {quote_event(event)}" for event in events[:3]]
    signs += [f"condition {code(line)}" for each in descriptions for line in bad_conditions(each)]
    if evidence:
        rows = [(row, what) for row in evidence.pods if (what := health.pod_problem(row))]
        signs += [f"pod {code(row['NAME'])}: {what}" for row, what in rows[:5]]
        if not evidence.pods and evidence.ref.kind != "jobs":
            signs.append("it has no pods")
    if check and check.selector and not check.ready:
        signs.append(f"service {code(check.ref.name)} has no ready endpoints")
    return signs


def _without_finding(diagnosis: Diagnosis, request: UserRequest) -> str:
    """Say that nothing is wrong, or show the signs that no rule explains; then name what was looked at."""
    looked = [*_looked_at_pods(diagnosis), *_looked_at_service(diagnosis), *_looked_at_other(diagnosis)]
    slow = (
        "No tool here measures latency or load, so I can't see slowness itself; what I can see is above."
        if request.slow
        else ""
    )
    signs = unexplained_signs(diagnosis)
    if signs:
        return paragraphs(
            f"**{diagnosis.ref}**: {NO_RULE}", bullets(signs), "I also looked at:" if looked else "", bullets(looked),
            slow, *_gaps(diagnosis),
        )  # fmt: skip
    gaps = _gaps(diagnosis)
    if not looked:
        return paragraphs(f"I could not look at the {diagnosis.ref}.", *gaps)
    first = f"Nothing is wrong with the {diagnosis.ref} as far as I can see. I looked at:"
    return paragraphs(first, bullets(looked), slow, *gaps)


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
    found.append(f"its events: {count_of(len(warnings), 'warning')}")
    for container in objects_at(evidence.pod.body, "spec", "containers") if evidence.logs else []:
        if lines := informative_lines(evidence, text_at(container, "name")):
            found.append(f"the log of {code(text_at(container, 'name'))}; most informative line: {quote(lines[-1])}")
    return found


def _looked_at_service(diagnosis: Diagnosis) -> list[str]:
    check = diagnosis.service
    if check is None or check.is_missing:
        return []
    if not check.selector:
        return [f"service {code(check.ref.name)}: it has no selector, so its endpoints do not come from pods"]
    endpoints = ", ".join(check.endpoints[:3]) or "none yet"
    pods = f"{count_of(len(check.pods), 'pod')}, {check.ready} ready"
    return [f"service {code(check.ref.name)}: its selector finds {pods}; endpoints {code(endpoints)}"]


def _looked_at_other(diagnosis: Diagnosis) -> list[str]:
    if diagnosis.other is None or not diagnosis.other.description.title:
        return []
    description = diagnosis.other.description
    found = [f"condition {code(line[:160].partition(' (since')[0])}" for line in description.conditions[:5]]
    found.append(f"its events: {count_of(len(description.events), 'event')}")
    return [*found, *(code(child) for child in description.children[:5])]
