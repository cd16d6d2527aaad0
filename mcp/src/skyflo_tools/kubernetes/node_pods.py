"""Sort the pods of a node by what a drain does with them, and compare them with disruption budgets."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from skyflo_common.clock import Clock
from skyflo_common.jsontypes import JsonObject, number_at, object_at, objects_at, text_at
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.label_selectors import selects
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject

MAX_PODS_READ = 2000
MAX_BUDGETS_READ = 5000
_MIRROR = "kubernetes.io/config.mirror"
_ENDED = ("Succeeded", "Failed")


@dataclass
class NodePods:
    """The pods of a node: those to evict, why others stay, and what needs an explicit argument."""

    evicted: list[KubeObject] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    unmanaged: list[KubeObject] = field(default_factory=list)
    with_local_data: list[KubeObject] = field(default_factory=list)
    budget_notes: list[str] = field(default_factory=list)
    """What the disruption budgets allow now."""


async def read_node_pods(node: str, cluster: Cluster, identity: Identity | None, clock: Clock) -> Listing[KubeObject]:
    """Return the pods of a node in all namespaces, ordered by namespace and name."""
    scope = await resolve_scope(cluster, "v1/Pod", None, everywhere=True)
    found = await ListReader(identity, clock, MAX_PODS_READ).read(scope, _pod, fields=f"spec.nodeName={node}")
    return Listing(sorted(found.items, key=lambda pod: (pod.namespace, pod.name)), found.unread)


def _pod(body: JsonObject) -> KubeObject:
    return KubeObject({"apiVersion": "v1", "kind": "Pod", **body})


async def read_budgets(cluster: Cluster, identity: Identity | None, clock: Clock) -> Listing[KubeObject]:
    scope = await resolve_scope(cluster, "policy/v1/PodDisruptionBudget", None, everywhere=True)
    return await ListReader(identity, clock, MAX_BUDGETS_READ).read(scope, KubeObject)


def sort_pods(pods: Sequence[KubeObject], budgets: Sequence[KubeObject]) -> NodePods:
    """Decide for each pod whether a drain evicts it. Raises nothing: what needs an argument is listed."""
    found = NodePods()
    counts: dict[str, int] = {}
    covering = {pod.uid: _budgets_of(pod, budgets) for pod in pods}
    for pod in pods:
        if why := _reason_to_stay(pod, covering[pod.uid]):
            found.left.append(f"{pod} stays: {why}")
            continue
        found.evicted.append(pod)
        if _is_ended(pod):
            continue
        if _controller(pod) is None:
            found.unmanaged.append(pod)
        if any("emptyDir" in volume for volume in objects_at(pod.body, "spec", "volumes")):
            found.with_local_data.append(pod)
        for budget in covering[pod.uid]:
            counts[budget.uid] = counts.get(budget.uid, 0) + 1
    found.budget_notes = [
        f"budget {budget.name} in {budget.namespace} allows {allowed} evictions now, {counts[budget.uid]} of its pods"
        " are on this node: the others wait until it allows more"
        for budget in budgets
        if counts.get(budget.uid, 0) > (allowed := number_at(budget.body, "status", "disruptionsAllowed") or 0)
    ]
    return found


def _reason_to_stay(pod: KubeObject, budgets: list[KubeObject]) -> str:
    owner = _controller(pod)
    if _MIRROR in pod.annotations:
        return "a static pod, which only its node can remove"
    if owner is not None and text_at(owner, "kind") == "DaemonSet":
        return f"daemonset/{text_at(owner, 'name')} would start it again"
    if pod.is_deleting:
        return "it is being deleted already"
    if len(budgets) > 1 and not _is_ended(pod):
        names = ", ".join(budget.name for budget in budgets)
        return f"more than one budget covers it ({names}), so the API server evicts it never: delete a budget first"
    return ""


def _budgets_of(pod: KubeObject, budgets: Sequence[KubeObject]) -> list[KubeObject]:
    return [
        budget
        for budget in budgets
        if budget.namespace == pod.namespace
        and isinstance(budget.at("spec", "selector"), dict)
        and selects(object_at(budget.body, "spec", "selector"), pod.labels)
    ]


def _controller(pod: KubeObject) -> JsonObject | None:
    return next((owner for owner in pod.owners if owner.get("controller") is True), None)


def _is_ended(pod: KubeObject) -> bool:
    return text_at(pod.body, "status", "phase") in _ENDED
