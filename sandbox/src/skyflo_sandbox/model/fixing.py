"""Fix it: the least change that the evidence supports, and what is true after it."""

from dataclasses import replace

from skyflo_sandbox.model.answers import code, lines_of
from skyflo_sandbox.model.causes import Fix
from skyflo_sandbox.model.explaining import Diagnosis, as_object, diagnose, told_cause
from skyflo_sandbox.model.finding import Found, Survey, find, scope_of, survey
from skyflo_sandbox.model.overview import problems
from skyflo_sandbox.model.plan import Answer, GiveUp, Memory, Ref, Scope, Steps, ask
from skyflo_sandbox.model.subjects import Subject
from skyflo_sandbox.model.verifying import change, rolled_out
from skyflo_sandbox.model.wiring import examine_service
from skyflo_sandbox.model.words import Request

__all__ = ["fix"]

FIXED_AT_ONCE = 3


def fix(request: Request, memory: Memory) -> Steps[Answer]:
    """One object, or the problems of a namespace one after the other."""
    subject, focus = request.subject, memory.focus
    of_a_namespace = subject.namespace or subject.everywhere or focus is None or focus.kind == "namespaces"
    if not subject.names and of_a_namespace and (focus or not subject.pronoun):
        scope = scope_of(request, memory)
        seen, _ = yield from survey(scope)
        if scope.namespace and not seen.pods.rows and not seen.services.rows:
            request = as_object(replace(request, subject=replace(subject, namespace=scope.namespace)))
        else:
            return (yield from _fix_all(seen, request))
    found = yield from find(request, memory)
    if found.ref.kind == "namespaces":
        seen, _ = yield from survey(Scope(found.ref.cluster, found.ref.name))
        return (yield from _fix_all(seen, request))
    return (yield from _fix_one(found, request))


def _fix_all(seen: Survey, request: Request) -> Steps[Answer]:
    """The problems that the lists show, each with a change of its own; a person decides on each."""
    found = problems(seen)
    if not found:
        return Answer("I see nothing that needs fixing: all pods, deployments and services look well.")
    told: list[str] = []
    for problem in found[:FIXED_AT_ONCE]:
        one = replace(
            request, subject=Subject(kind=problem.ref.kind, names=(problem.ref.name,), namespace=problem.ref.namespace)
        )
        title = f"### {problem.ref.kind.removesuffix('s')} {problem.ref.name}"
        try:
            answer = yield from _fix_one(Found((problem.ref,), seen), one)
        except GiveUp as up:
            return Answer(lines_of(*told, title, up.answer.text))
        told += [title, answer.text]
    left = [f"`fix {problem.ref.name}`" for problem in found[FIXED_AT_ONCE:][:5]]
    more = f"There is more: {', '.join(left)}." if left else ""
    return Answer(lines_of(*told, more), found[0].ref if len(found) == 1 else None)


def _fix_one(found: Found, request: Request) -> Steps[Answer]:
    diagnosis = yield from diagnose(found, request)
    finding, ref = diagnosis.fixable, diagnosis.ref
    if not diagnosis.findings:
        return Answer(
            f"I see nothing wrong with the {ref}, so there is nothing to fix. `why is {ref.name} ...?` says what I"
            " looked at.",
            ref,
        )
    if finding is None or finding.fix is None:
        first = diagnosis.findings[0]
        return Answer(
            lines_of(told_cause(first), f"No change is evident from this, so I propose none. {first.advice}"), ref
        )
    yield from change(finding.fix.call, lines_of(told_cause(finding), finding.fix.why))
    return (yield from _verified(diagnosis, finding.fix))


def _verified(diagnosis: Diagnosis, fixed: Fix) -> Steps[Answer]:
    """What is true now."""
    ref = diagnosis.ref
    if fixed.verify.kind == "services":
        return Answer((yield from _service_now(fixed.verify)), ref)
    changed = fixed.call.arguments
    done = f"The change to {str(changed['kind']).removesuffix('s')} {code(str(changed['name']))} is made."
    text = yield from rolled_out(fixed.verify, done, otherwise="Not healed yet")
    if "Not healed yet" not in text or changed["kind"] != "configmaps":
        return Answer(text, ref)
    again = Request(
        "restart",
        Subject(
            kind=fixed.verify.kind, names=(fixed.verify.name,), namespace=fixed.verify.namespace, cluster=ref.cluster
        ),
    )
    wait = (
        "Its pods take the new value when they start anew, which a crash loop delays. A yes restarts"
        f" {code(fixed.verify.name)} now."
    )
    return Answer(lines_of(text, wait), ref, proposal=again)


def _service_now(ref: Ref) -> Steps[str]:
    """Whether the service leads somewhere now. Endpoints follow a selector within moments, so they are read last."""
    scope = Scope(ref.cluster, ref.namespace)
    (rest,) = yield from ask(scope.get("services", ref.name, output="wide"))
    empty = Survey(scope)
    now = yield from examine_service(ref, empty)
    if now.findings or not rest.ok:
        return f"**Not healed yet.** Service {code(ref.name)} still matches no pod."
    state = f"Service {code(ref.name)} now matches {len(now.pods)} pods, {now.ready} of them ready"
    if now.endpoints and now.ready:
        return f"Verified: {state}; its endpoints are {code(', '.join(now.endpoints[:3]))}."
    return (
        f"**Not healed yet.** {state}; its endpoints are {code(', '.join(now.endpoints[:3]) or 'still empty')}. Look"
        f" again in a moment: `why is {ref.name} not reachable?`"
    )
