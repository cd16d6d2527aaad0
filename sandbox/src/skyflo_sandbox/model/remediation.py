"""Propose the smallest change that the evidence supports, and check the result."""

from dataclasses import replace

from skyflo_sandbox.model.explain import Diagnosis, as_object, diagnose, format_finding, unexplained_signs
from skyflo_sandbox.model.findings import Fix
from skyflo_sandbox.model.markdown import bullets, code, paragraphs
from skyflo_sandbox.model.overview import Overview, list_problems, looked_at
from skyflo_sandbox.model.plan import Answer, Memory, ObjectRef, PlanStopped, Scope, Steps, ask
from skyflo_sandbox.model.resolve import Inventory, ResolvedTarget, resolve_target, scope_of
from skyflo_sandbox.model.rollout_check import check_rollout, propose_change
from skyflo_sandbox.model.service_selectors import check_service
from skyflo_sandbox.model.targets import Target
from skyflo_sandbox.model.user_request import UserRequest
from skyflo_sandbox.model.vocabulary import singular

__all__ = ["fix"]

FIXED_AT_ONCE = 3


def fix(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Fix one object, or the problems of a namespace one after the other."""
    if request.whole:
        scope = scope_of(request, memory)
        overview = yield from list_problems(scope)
        if not scope.namespace or overview.seen.pods.rows or overview.seen.services.rows:
            return (yield from _fix_all(overview, request))
        request = as_object(replace(request, target=replace(request.target, namespace=scope.namespace)))
    found = yield from resolve_target(request, memory)
    if found.ref.kind == "namespaces":
        overview = yield from list_problems(Scope(found.ref.cluster, found.ref.name))
        return (yield from _fix_all(overview, request))
    return (yield from _fix_one(found, request))


def _fix_all(overview: Overview, request: UserRequest) -> Steps[Answer]:
    """Propose one change for each problem of the overview; a person decides on each."""
    found = overview.problems
    if not found:
        unread = f"Not looked at:\n{bullets(overview.unread)}" if overview.unread else ""
        return Answer(paragraphs("I see nothing that needs fixing.", looked_at(overview), unread))
    parts: list[str] = []
    for problem in found[:FIXED_AT_ONCE]:
        ref = problem.ref
        target = Target(kind=ref.kind, names=(ref.name,), namespace=ref.namespace, cluster=ref.cluster)
        title = f"### {singular(ref.kind)} {ref.name}"
        try:
            answer = yield from _fix_one(ResolvedTarget((ref,), overview.seen), replace(request, target=target))
        except PlanStopped as stopped:
            return Answer(paragraphs(*parts, title, stopped.answer.text))
        parts += [title, answer.text]
    left = [f"`fix {problem.ref.name}`" for problem in found[FIXED_AT_ONCE:][:5]]
    more = f"There is more: {', '.join(left)}." if left else ""
    return Answer(paragraphs(*parts, more), found[0].ref if len(found) == 1 else None)


def _fix_one(found: ResolvedTarget, request: UserRequest) -> Steps[Answer]:
    diagnosis = yield from diagnose(found, request)
    finding, ref = diagnosis.fixable, diagnosis.ref
    if not diagnosis.findings:
        signs = unexplained_signs(diagnosis)
        if signs:
            text = f"I have no rule for what is wrong with the {ref}, so I propose no change. Here is what I saw:"
            return Answer(paragraphs(text, bullets(signs)), ref)
        text = (
            f"I see nothing wrong with the {ref}, so there is nothing to fix. `is {ref.name} ok?` lists what I look at."
        )
        return Answer(text, ref)
    if finding is None or finding.fix is None:
        first = diagnosis.findings[0]
        advice = f"No change is evident from this, so I propose none. {first.advice}"
        return Answer(paragraphs(format_finding(first), advice), ref)
    yield from propose_change(finding.fix.call, paragraphs(format_finding(finding), finding.fix.why))
    return (yield from _check_fix(diagnosis, finding.fix))


def _check_fix(diagnosis: Diagnosis, fixed: Fix) -> Steps[Answer]:
    """Read the state after a fix."""
    ref = diagnosis.ref
    if fixed.verify.kind == "services":
        return Answer((yield from _check_fixed_service(fixed.verify)), ref)
    changed = fixed.call.arguments
    done = f"The change to {str(changed['kind']).removesuffix('s')} {code(str(changed['name']))} is made."
    text = yield from check_rollout(fixed.verify, done, otherwise="Not healed yet")
    if "Not healed yet" not in text or changed["kind"] != "configmaps":
        return Answer(text, ref)
    owner = fixed.verify
    target = Target(kind=owner.kind, names=(owner.name,), namespace=owner.namespace, cluster=ref.cluster)
    wait = (
        "Its pods take the new value when they restart, which a crash loop delays. A yes restarts"
        f" {code(owner.name)} now."
    )
    return Answer(paragraphs(text, wait), ref, proposal=UserRequest("restart", target))


def _check_fixed_service(ref: ObjectRef) -> Steps[str]:
    """Read whether the service has endpoints now. They follow a selector within moments, so they are read last."""
    scope = Scope(ref.cluster, ref.namespace)
    (read,) = yield from ask(scope.get("services", ref.name, output="wide"))
    now = yield from check_service(ref, Inventory(scope))
    if now.findings or not read.ok:
        return f"**Not healed yet.** Service {code(ref.name)} still matches no pod."
    state = f"Service {code(ref.name)} now matches {len(now.pods)} pods, {now.ready} of them ready"
    endpoints = ", ".join(now.endpoints[:3])
    if now.endpoints and now.ready:
        return f"Verified: {state}; its endpoints are {code(endpoints)}."
    return (
        f"**Not healed yet.** {state}; its endpoints are {code(endpoints or 'still empty')}. Look again in a moment:"
        f" `why is {ref.name} not reachable?`"
    )
