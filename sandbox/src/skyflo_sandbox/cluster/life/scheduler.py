"""The scheduler: binds pods to nodes, or says why it can't."""

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from skyflo_sandbox.cluster.kinds import NODE, POD
from skyflo_sandbox.cluster.life.context import Context, Key
from skyflo_sandbox.cluster.life.objects import controller_of, deleting, name_of, namespace_of
from skyflo_sandbox.cluster.life.podstatus import conditions_with
from skyflo_sandbox.cluster.state import Change
from skyflo_sandbox.jsontypes import JsonObject, dig, object_at, objects_at, strings_at, text_at

__all__ = ["Scheduler", "quantity"]

MOST = Decimal(10**18)
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
    """Spreads the pods of one owner over the nodes; a node must match, be open and have room."""

    name = "scheduler"

    def __init__(self, context: Context) -> None:
        self._context = context

    def hears(self, change: Change) -> Iterable[Key]:
        """A pod without a node; all of them when room may have come."""
        if change.kind is POD and change.type != "DELETED":
            news = change.before is None or change.before.get("spec") != change.object.get("spec")
            return [(namespace_of(change.object), name_of(change.object))] if news and not _node(change.object) else []
        if change.kind is POD or change.kind is NODE:
            waiting = [pod for pod in self._context.state.objects(POD) if not _node(pod)]
            return [(namespace_of(pod), name_of(pod)) for pod in waiting]
        return []

    def sync(self, namespace: str, name: str) -> None:
        pod = self._context.state.get(POD, namespace, name)
        if pod is None or _node(pod) or deleting(pod):
            return
        nodes, pods = self._context.state.objects(NODE), self._context.state.objects(POD)
        there = {name_of(node): [each for each in pods if _node(each) == name_of(node)] for node in nodes}
        against = {name_of(node): _against(pod, node, there[name_of(node)]) for node in nodes}
        fitting = [name_of(node) for node in nodes if not against[name_of(node)]]
        if fitting:
            self._bind(pod, _emptiest(pod, fitting, there))
        else:
            self._refuse(pod, Counter(against.values()), len(nodes))

    def _bind(self, pod: JsonObject, node: str) -> None:
        now = self._context.timestamp()
        status: JsonObject = {
            **object_at(pod, "status"),
            "conditions": conditions_with(pod, [("PodScheduled", True, {})], now),
        }
        self._context.state.replace(
            POD, {**pod, "spec": {**object_at(pod, "spec"), "nodeName": node}, "status": status}
        )
        text = f"Successfully assigned {namespace_of(pod)}/{name_of(pod)} to {node}"
        self._context.recorder.record(POD, pod, "Scheduled", text, source="default-scheduler")

    def _refuse(self, pod: JsonObject, reasons: Counter[str], nodes: int) -> None:
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        text = f"0/{nodes} nodes are available: {counted}. preemption: 0/{nodes} nodes are available: {nodes} "
        text += "Preemption is not helpful for scheduling."
        why = {"reason": "Unschedulable", "message": text}
        conditions = conditions_with(pod, [("PodScheduled", False, why)], self._context.timestamp())
        before = object_at(pod, "status")
        if before.get("conditions") != conditions:
            self._context.write_status(POD, pod, {**before, "conditions": conditions})
            self._context.recorder.record(
                POD, pod, "FailedScheduling", text, source="default-scheduler", type_="Warning"
            )


def _against(pod: JsonObject, node: JsonObject, there: list[JsonObject]) -> str:
    """Why the node, with the pods that are there, is not for this pod; empty if it is."""
    labels = strings_at(node, "metadata", "labels")
    wanted = strings_at(pod, "spec", "nodeSelector")
    if any(labels.get(key) != value for key, value in wanted.items()):
        return "node(s) didn't match Pod's node affinity/selector"
    if dig(node, "spec", "unschedulable") is True:
        return "node(s) were unschedulable"
    if len(there) >= quantity(text_at(node, "status", "allocatable", "pods") or "110"):
        return "Too many pods"
    for resource in ("cpu", "memory"):
        free = quantity(text_at(node, "status", "allocatable", resource)) - sum(_asks(each, resource) for each in there)
        if _asks(pod, resource) > free:
            return f"Insufficient {resource}"
    return ""


def _emptiest(pod: JsonObject, names: list[str], there: dict[str, list[JsonObject]]) -> str:
    """The node with the fewest pods of the same owner, and then with the fewest at all."""
    owner = text_at(controller_of(pod), "uid")
    same = {
        name: sum(1 for each in there[name] if owner and text_at(controller_of(each), "uid") == owner) for name in names
    }
    return min(names, key=lambda name: (same[name], len(there[name]), name))


def quantity(text: str) -> Decimal:
    """A resource quantity as a number; 0 for what is none."""
    number, scale = text, Decimal(1)
    for ending, factor in _SCALE.items():
        if text.endswith(ending):
            number, scale = text.removesuffix(ending), factor
    try:
        found = Decimal(number) * scale
        return min(found, MOST) if found.is_finite() else Decimal(0)
    except ArithmeticError:
        return Decimal(0)


def _asks(pod: JsonObject, resource: str) -> Decimal:
    containers = objects_at(pod, "spec", "containers")
    values = [dig(each, "resources", "requests", resource) for each in containers]
    return sum((quantity(str(value)) for value in values if isinstance(value, str | int)), Decimal(0))


def _node(pod: JsonObject) -> str:
    return text_at(pod, "spec", "nodeName")
