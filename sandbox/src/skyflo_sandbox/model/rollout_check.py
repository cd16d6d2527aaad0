"""Propose a change, and read its result."""

from skyflo_sandbox.model.health import is_running_and_ready, pod_problem
from skyflo_sandbox.model.markdown import bullets, code, count_of, paragraphs, quote_person
from skyflo_sandbox.model.plan import Answer, Call, ObjectRef, PlanStopped, Result, Scope, Steps, ask, describe_failure
from skyflo_sandbox.model.resolve import pods_of_workload
from skyflo_sandbox.model.tool_output import table

__all__ = ["ROLLING", "WAIT_SECONDS", "check_rollout", "propose_change"]

WAIT_SECONDS = 60
ROLLING = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


def propose_change(call: Call, text: str) -> Steps[Result]:
    """Make a call that a person has to approve.

    Raises `PlanStopped` with the reason if it did not run or its outcome is unknown.
    """
    (result,) = yield from ask(call, text=text)
    if not result.ok:
        raise PlanStopped(Answer(_not_done(result), _changed_object(call)))
    return result


def _changed_object(call: Call) -> ObjectRef | None:
    """Return the object that a change is about."""
    kind, name, namespace, cluster = (
        str(call.arguments.get(key, "")) for key in ("kind", "name", "namespace", "cluster")
    )
    plural = next((each for each, rolling in ROLLING.items() if rolling == kind), kind)
    return ObjectRef(plural, name, namespace, cluster) if name else None


def _not_done(result: Result) -> str:
    why = f" The reason: {quote_person(result.reason)}." if result.reason else ""
    texts = {
        "denied": (
            f"Denied, so nothing was changed.{why} I go no further."
            if why
            else "Denied without a reason, so nothing was changed. I go no further."
        ),
        "expired": "Nobody decided in time, so nothing was changed. Ask again if you still want it.",
        "superseded": "It did not run: a later message replaced it.",
        "stale": (
            f"It did not run: the object has changed since the change was shown.{why} Ask again, and I read its current"
            " state."
        ),
        "unknown": (
            f"Whether it took effect is not known.{why} I don't repeat it. `describe` the object, then settle the"
            " call with `skyflo approvals verify`."
        ),
    }
    doubt = "Its effects are not ruled out, so look at the object before you go on."
    failed = (
        f"Nothing was changed. {describe_failure(result)}" if result.sure else f"{describe_failure(result)} {doubt}"
    )
    return texts.get(result.status, failed)


def check_rollout(ref: ObjectRef, done: str, *, otherwise: str = "Not done yet") -> Steps[str]:
    """Wait for the end of a rollout, then read the pods.

    `otherwise` precedes the state of a rollout that has not finished.
    """
    scope = Scope(ref.cluster, ref.namespace)
    if ref.kind not in ROLLING:
        (read,) = yield from ask(scope.get(ref.kind, ref.name))
        return paragraphs(
            done, f"It now reads: {code(read.text.splitlines()[-1])}" if read.ok else describe_failure(read)
        )
    wait = scope.call("k8s_rollout_status", kind=ROLLING[ref.kind], name=ref.name, wait_seconds=WAIT_SECONDS)
    (status,) = yield from ask(wait)
    (listed,) = yield from ask(scope.get("pods", limit=500))
    return paragraphs(done, _state(ref, status, otherwise), _pods(ref, listed))


def _state(ref: ObjectRef, status: Result, otherwise: str) -> str:
    if not status.ok:
        return f"How far it is I could not see: {describe_failure(status)}"
    line = status.text.splitlines()[0] if status.text else ""
    state = line.partition(": ")[2] or line
    if state.startswith("complete"):
        return f"Verified: the rollout of {code(ref.name)} is {state}."
    return f"**{otherwise}.** The rollout of {code(ref.name)} is {state}."


def _pods(ref: ObjectRef, listed: Result) -> str:
    if not listed.ok:
        return describe_failure(listed)
    mine = pods_of_workload(ref.name, ref.namespace, table(listed.text).within(ref.namespace))
    unwell = [row for row in mine if pod_problem(row) and not is_running_and_ready(row)]
    if not mine:
        return "It has no pods now."
    if not unwell:
        lately = any(pod_problem(row) for row in mine)
        note = " It restarted a moment ago, so look again in a minute: `is it ok?`" if lately else ""
        return f"{count_of(len(mine), 'pod')}, all up and ready.{note}"
    lines = bullets(f"{code(row['NAME'])}: {pod_problem(row)}" for row in unwell[:5])
    return (
        f"{len(unwell)} of {count_of(len(mine), 'pod')} not well:\n{lines}\n\nAsk again in a moment: `why is {ref.name}"
        " failing?`"
    )
