"""The scheduler: bind pods to nodes, or record why no node fits."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.controllers.context import Context, Key
from skyflo_sandbox.cluster.controllers.objects import controller_of, is_deleting, name_of, namespace_of
from skyflo_sandbox.cluster.controllers.pod_status import set_pod_conditions
from skyflo_sandbox.cluster.kinds import NODE, POD
from skyflo_sandbox.cluster.state import Change

__all__ = ["Scheduler", "quantity_or_zero"]

MAX_QUANTITY = Decimal(10**18)
_SCALE = {
    "m": Decimal("0.001"),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
}


class Scheduler:
    """Spreads the pods of an owner over the nodes that match, are schedulable and have capacity."""

    name = "scheduler"

    def __init__(self, context: Context) -> None:
        self._context = context

    def affected_keys(self, change: Change) -> Iterable[Key]:
        """Return an unbound pod that changed, or all unbound pods if capacity may have been freed."""
        if change.kind is POD and change.type != "DELETED":
            spec_changed = change.before is None or change.before.get("spec") != change.object.get("spec")
            return (
                [(namespace_of(change.object), name_of(change.object))]
                if spec_changed and not _node_name(change.object)
                else []
            )
        if change.kind is POD or change.kind is NODE:
            waiting = [pod for pod in self._context.state.objects(POD) if not _node_name(pod)]
            return [(namespace_of(pod), name_of(pod)) for pod in waiting]
        return []

    def sync(self, namespace: str, name: str) -> None:
        pod = self._context.state.get(POD, namespace, name)
        if pod is None or _node_name(pod) or is_deleting(pod):
            return
        nodes, pods = self._context.state.objects(NODE), self._context.state.objects(POD)
        pods_by_node = {name_of(node): [each for each in pods if _node_name(each) == name_of(node)] for node in nodes}
        rejections = {name_of(node): _rejection_reason(pod, node, pods_by_node[name_of(node)]) for node in nodes}
        candidates = [name_of(node) for node in nodes if not rejections[name_of(node)]]
        if candidates:
            self._bind(pod, _least_loaded_node(pod, candidates, pods_by_node))
        else:
            self._mark_unschedulable(pod, Counter(rejections.values()), len(nodes))

    def _bind(self, pod: JsonObject, node: str) -> None:
        now = self._context.timestamp()
        status: JsonObject = {
            **object_at(pod, "status"),
            "conditions": set_pod_conditions(pod, [("PodScheduled", True, {})], now),
        }
        self._context.state.replace(
            POD, {**pod, "spec": {**object_at(pod, "spec"), "nodeName": node}, "status": status}
        )
        text = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._context.recorder.record(POD, pod, "Scheduled", text, source="default-scheduler")

    def _mark_unschedulable(self, pod: JsonObject, reasons: Counter[str], nodes: int) -> None:
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        text = f"0/{nodes} nodes are available: {counted}. preemption: 0/{nodes} nodes are available: {nodes} "
        text += "Preemption is not helpful for scheduling."
        why = {"reason": "Unschedulable", "message": text}
        conditions = set_pod_conditions(pod, [("PodScheduled", False, why)], self._context.timestamp())
        before = object_at(pod, "status")
        if before.get("conditions") != conditions:
            self._context.write_status(POD, pod, {**before, "conditions": conditions})
            self._context.recorder.record(
                POD, pod, "FailedScheduling", text, source="default-scheduler", type_="Warning"
            )


def _rejection_reason(pod: JsonObject, node: JsonObject, node_pods: list[JsonObject]) -> str:
    """Return why the node can't take the pod; empty if it can."""
    labels = strings_at(node, "metadata", "labels")
    wanted = strings_at(pod, "spec", "nodeSelector")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    if dig(node, "spec", "unschedulable") is True:
        return "node(s) were unschedulable"
    if len(node_pods) >= quantity_or_zero(text_at(node, "status", "allocatable", "pods") or "110"):
        return "Too many pods"
    for resource in ("cpu", "memory"):
        free = quantity_or_zero(text_at(node, "status", "allocatable", resource)) - sum(
            _requested(each, resource) for each in node_pods
        )
        if _requested(pod, resource) > free:
            return f"Insufficient {resource}"
    return ""


def _least_loaded_node(pod: JsonObject, names: list[str], pods_by_node: dict[str, list[JsonObject]]) -> str:
    """Return the node with the fewest pods of the same owner, then with the fewest pods."""
    owner = text_at(controller_of(pod), "uid")
    of_same_owner = {
        name: sum(1 for each in pods_by_node[name] if owner and text_at(controller_of(each), "uid") == owner)
        for name in names
    }
    return min(names, key=lambda name: (of_same_owner[name], len(pods_by_node[name]), name))


def quantity_or_zero(text: str) -> Decimal:
    """Parse a resource quantity; 0 for invalid text."""
    number, scale = text, Decimal(1)
    for ending, factor in _SCALE.items():
        if text.endswith(ending):
            number, scale = text.removesuffix(ending), factor
    try:
        found = Decimal(number) * scale
        return min(found, MAX_QUANTITY) if found.is_finite() else Decimal(0)
    except ArithmeticError:
        return Decimal(0)


def _requested(pod: JsonObject, resource: str) -> Decimal:
    containers = objects_at(pod, "spec", "containers")
    values = [dig(each, "resources", "requests", resource) for each in containers]
    return sum((quantity_or_zero(str(value)) for value in values if isinstance(value, str | int)), Decimal(0))


def _node_name(pod: JsonObject) -> str:
    return text_at(pod, "spec", "nodeName")
