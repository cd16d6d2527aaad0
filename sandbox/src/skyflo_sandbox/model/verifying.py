"""Making a change, and what is true afterwards."""

from skyflo_sandbox.model.answers import bullets, code, counted, lines_of, spoken
from skyflo_sandbox.model.finding import pods_of
from skyflo_sandbox.model.health import is_up, pod_trouble
from skyflo_sandbox.model.plan import Answer, Call, GiveUp, Ref, Result, Scope, Steps, ask, told
from skyflo_sandbox.model.reading import table

__all__ = ["ROLLING", "WAIT_SECONDS", "change", "rolled_out"]

WAIT_SECONDS = 60
ROLLING = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}


def change(call: Call, text: str) -> Steps[Result]:
    """The result of a change that ran. Raises `GiveUp` that says why it did not, or that nobody knows."""
    (result,) = yield from ask(call, text=text)
    if not result.ok:
        raise GiveUp(Answer(_not_done(result), _about(call)))
    return result


def _about(call: Call) -> Ref | None:
    """The object that a change is about."""
    kind, name, namespace, cluster = (
        str(call.arguments.get(key, "")) for key in ("kind", "name", "namespace", "cluster")
    )
    plural = next((each for each, rolling in ROLLING.items() if rolling == kind), kind)
    return Ref(plural, name, namespace, cluster) if name else None


def _not_done(result: Result) -> str:
    why = f" The reason: {spoken(result.reason)}." if result.reason else ""
    said = {
        "denied": (
            f"Denied, so nothing was changed.{why} I leave it there."
            if why
            else "Denied without a reason, so nothing was changed. I leave it there."
        ),
        "expired": "Nobody decided in time, so nothing was changed. Ask again if you still want it.",
        "superseded": "It did not run: something later took its place.",
        "stale": (
            f"It did not run: the object has changed since the change was shown.{why} Ask again, and I look at it as it"
            " is now."
        ),
        "unknown": (
            f"Whether it took effect is not known.{why} I don't repeat it. Ask me to look: `describe` the object, and"
            " settle it there."
        ),
    }
    doubt = "Its effects are not ruled out, so look at the object before you go on."
    failed = f"Nothing was changed. {told(result)}" if result.sure else f"{told(result)} {doubt}"
    return said.get(result.status, failed)


def rolled_out(ref: Ref, done: str, *, otherwise: str = "Not done yet") -> Steps[str]:
    """Waits for the end of a rollout, then looks at the pods: what is true now. `otherwise`: said before the state of
    a rollout that has not come to its end."""
    scope = Scope(ref.cluster, ref.namespace)
    if ref.kind not in ROLLING:
        (read,) = yield from ask(scope.get(ref.kind, ref.name))
        return lines_of(done, f"It now reads: {code(read.text.splitlines()[-1])}" if read.ok else told(read))
    wait = scope.call("k8s_rollout_status", kind=ROLLING[ref.kind], name=ref.name, wait_seconds=WAIT_SECONDS)
    (status,) = yield from ask(wait)
    (listed,) = yield from ask(scope.get("pods", limit=500))
    return lines_of(done, _state(ref, status, otherwise), _pods(ref, listed))


def _state(ref: Ref, status: Result, otherwise: str) -> str:
    if not status.ok:
        return f"How far it is I could not see: {told(status)}"
    line = status.text.splitlines()[0] if status.text else ""
    state = line.partition(": ")[2] or line
    if state.startswith("complete"):
        return f"Verified: the rollout of {code(ref.name)} is {state}."
    return f"**{otherwise}.** The rollout of {code(ref.name)} is {state}."


def _pods(ref: Ref, listed: Result) -> str:
    if not listed.ok:
        return told(listed)
    mine = pods_of(ref.name, ref.namespace, table(listed.text).within(ref.namespace))
    unwell = [row for row in mine if pod_trouble(row) and not is_up(row)]
    if not mine:
        return "It has no pods now."
    if not unwell:
        lately = any(pod_trouble(row) for row in mine)
        note = " It restarted a moment ago, so look again in a minute: `is it ok?`" if lately else ""
        return f"{counted(len(mine), 'pod')}, all up and ready.{note}"
    lines = bullets(f"{code(row['NAME'])}: {pod_trouble(row)}" for row in unwell[:5])
    return (
        f"{len(unwell)} of {counted(len(mine), 'pod')} not well:\n{lines}\n\nAsk again in a moment: `why is {ref.name}"
        " failing?`"
    )
