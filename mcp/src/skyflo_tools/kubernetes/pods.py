"""What is worth saying about pods: why they are not well, in one line."""

from skyflo_tools.jsontypes import JsonObject, number_at, object_at, objects_at, strings_at, text_at
from skyflo_tools.kubernetes.objects import KubeObject


def selector_of(owner: KubeObject) -> str:
    """The label selector by which a workload or a service finds its pods, as the API wants it; empty if it has none."""
    if owner.kind == "Service":
        return _equalities(strings_at(owner.body, "spec", "selector"))
    selector = object_at(owner.body, "spec", "selector")
    parts = [_equalities(strings_at(selector, "matchLabels"))]
    parts += [_expression(each) for each in objects_at(selector, "matchExpressions")]
    return ",".join(part for part in parts if part)


def _equalities(labels: dict[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _expression(expression: JsonObject) -> str:
    key, operator = text_at(expression, "key"), text_at(expression, "operator")
    values = expression.get("values")
    joined = ",".join(value for value in values if isinstance(value, str)) if isinstance(values, list) else ""
    texts = {"In": f"{key} in ({joined})", "NotIn": f"{key} notin ({joined})", "Exists": key, "DoesNotExist": f"!{key}"}
    return texts.get(operator, "")


def pod_line(pod: KubeObject) -> str:
    """`pod/api-1 Running 1/2 ready, 7 restarts, app: CrashLoopBackOff`."""
    statuses = objects_at(pod.body, "status", "containerStatuses")
    ready = sum(1 for status in statuses if status.get("ready") is True)
    restarts = sum(number_at(status, "restartCount") or 0 for status in statuses)
    containers = len(objects_at(pod.body, "spec", "containers"))
    phase = "Terminating" if pod.deleting else text_at(pod.body, "status", "phase")
    parts = [f"pod/{pod.name} {phase} {ready}/{containers} ready"]
    if restarts:
        parts.append(f"{restarts} restarts")
    return ", ".join(parts + pod_problems(pod))


def pod_problems(pod: KubeObject) -> list[str]:
    """Why containers wait, or how they ended badly; why the pod is not scheduled."""
    found = []
    for field in ("initContainerStatuses", "containerStatuses"):
        statuses = objects_at(pod.body, "status", field)
        found += [f"{text_at(each, 'name')}: {problem}" for each in statuses if (problem := _container_problem(each))]
    unscheduled = [
        text_at(condition, "message")
        for condition in pod.conditions
        if text_at(condition, "type") == "PodScheduled" and text_at(condition, "status") == "False"
    ]
    return found + [f"not scheduled: {message[:200]}" for message in unscheduled]


def _container_problem(status: JsonObject) -> str:
    waiting = text_at(status, "state", "waiting", "reason")
    if waiting and waiting not in ("ContainerCreating", "PodInitializing"):
        message = text_at(status, "state", "waiting", "message")
        return f"{waiting} {message[:200]}".strip()
    code = number_at(status, "state", "terminated", "exitCode")
    return f"ended with code {code} ({text_at(status, 'state', 'terminated', 'reason')})" if code else ""
