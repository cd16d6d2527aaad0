"""Read the owners and the children of an object. What can't be read becomes a note."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from skyflo_common.jsontypes import JsonObject, number_at, object_at, text_at, without
from skyflo_tools.concurrency import gather, gather_two
from skyflo_tools.kubernetes.conditions import format_condition, reports_problem
from skyflo_tools.kubernetes.events import WarningEvents, format_warnings
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch_or_none, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import slim_pod
from skyflo_tools.kubernetes.pods import pod_selector
from skyflo_tools.output import redact_object
from skyflo_tools.reports.pod_report import read_namespace_warnings, redact_messages, report_pods
from skyflo_tools.side_reads import SideRead, read_side
from skyflo_tools.tool import CallContext

MAX_OWNERS = 6
MAX_OTHER_OWNERS = 10
MAX_PODS = 20
MAX_OTHER_CHILDREN = 20
MAX_CHILDREN_READ = 5000
CHILD_KINDS = {
    "Deployment": ("apps/v1/ReplicaSet", "v1/Pod"),
    "Rollout": ("apps/v1/ReplicaSet", "v1/Pod"),
    "ReplicaSet": ("v1/Pod",),
    "ReplicationController": ("v1/Pod",),
    "StatefulSet": ("v1/Pod",),
    "DaemonSet": ("v1/Pod",),
    "Job": ("v1/Pod",),
    "CronJob": ("batch/v1/Job", "v1/Pod"),
    "Service": ("v1/Pod",),
}
_BETWEEN = ("Deployment", "Rollout", "CronJob")
"""Kinds whose pods belong to objects between them: ReplicaSets, Jobs."""


@dataclass
class Relations:
    """Lines about related objects, and notes about what could not be read."""

    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


async def read_owners(found: KubeObject, scope: ResourceScope, call: CallContext) -> list[str]:
    """Return the chain of owners, nearest first, then the object's other owners.

    Each line says if that owner could not be read. Such an owner ends the chain.
    """
    chain: list[str] = []
    current: KubeObject | None = found
    while current is not None and current.owners:
        if len(chain) == MAX_OWNERS:
            chain.append("… further owners were not read")
            break
        line, current = await _read_owner(_controller(current), scope, call)
        chain.append(line)
    others = [each for each in found.owners if each is not _controller(found)]
    chain += [f"{_owner_name(each)} (another owner)" for each in others[:MAX_OTHER_OWNERS]]
    return chain + ([f"… {len(others) - MAX_OTHER_OWNERS} more owners"] if len(others) > MAX_OTHER_OWNERS else [])


def _controller(item: KubeObject) -> JsonObject:
    return next((each for each in item.owners if each.get("controller") is True), item.owners[0])


def _owner_name(owner: JsonObject) -> str:
    return f"{text_at(owner, 'kind').lower()}/{text_at(owner, 'name')}"


async def _read_owner(owner: JsonObject, scope: ResourceScope, call: CallContext) -> tuple[str, KubeObject | None]:
    """Return a line about an owner, and the owner itself if its own owners can be followed."""
    line, kind = _owner_name(owner), f"{text_at(owner, 'apiVersion')}/{text_at(owner, 'kind')}"

    async def read() -> KubeObject | None:
        above = await resolve_scope(scope.cluster, kind, scope.namespace or None)
        return await fetch_or_none(above, text_at(owner, "name"), call.identity)

    following = await read_side("it", read(), None)
    if following.problem:
        why = f"its kind {kind} is not served" if following.code == "unknown_kind" else following.problem
        return f"{line} ({why})", None
    if following.value is None:
        return f"{line} (no longer there)", None
    if following.value.uid != text_at(owner, "uid"):
        return f"{line} (no longer there: another object has its name now)", None
    return line, following.value


async def read_children(found: KubeObject, scope: ResourceScope, call: CallContext) -> Relations:
    """Return a line for each child. Children in trouble come first; what is left out is said."""
    selectors = _child_selectors(found)
    if not selectors:
        return Relations()
    lists, warnings = await gather_two(
        gather([_list_children(kind, scope, selector, call) for kind, selector in selectors.items()]),
        read_namespace_warnings(scope.cluster, scope.namespace, call),
    )
    problems = [*(each.problem for each in lists), warnings.problem]
    relations = Relations(notes=[problem for problem in problems if problem])
    relations.notes += [f"not all children were read: {each.value.unread}" for each in lists if each.value.unread]
    items = [item for each in lists for item in each.value.items]
    others = [item for item in items if item.kind != "Pod" and is_owned_by(item, {found.uid})]
    selected = [item for item in items if item.kind == "Pod"]
    pods = select_pods(found, others, selected, sets_are_known=not lists[0].problem)
    if not (pods or relations.notes):
        relations.notes.append(f"it has no pods (selector {selectors['v1/Pod']})")
    relations.lines = await format_children(others, warnings.value, call)
    relations.lines += (await report_pods(pods, warnings.value, call, MAX_PODS)).lines()
    return relations


def _child_selectors(found: KubeObject) -> dict[str, str]:
    """Return the kinds of an object's children and the label selector of each."""
    kinds = CHILD_KINDS.get(found.kind, ())
    if found.kind == "CronJob":
        return {kind: "job-name" if kind == "v1/Pod" else "" for kind in kinds}
    selector = pod_selector(found)
    return dict.fromkeys(kinds, selector) if selector else {}


async def _list_children(
    kind: str, scope: ResourceScope, selector: str, call: CallContext
) -> SideRead[Listing[KubeObject]]:
    async def read() -> Listing[KubeObject]:
        child = await resolve_scope(scope.cluster, kind, scope.namespace)
        return await list_children(child, selector, call)

    return await read_side(f"its {kind.rpartition('/')[2].lower()}s", read(), Listing([]))


async def list_children(child: ResourceScope, selector: str, call: CallContext) -> Listing[KubeObject]:
    """Read the objects of a kind that a selector matches, without what a line about them does not need."""

    def parse(item: JsonObject) -> KubeObject:
        if child.resource.kind == "Pod":
            return slim_pod(item)
        kept: JsonObject = {
            "metadata": without(object_at(item, "metadata"), ("managedFields",)),
            "spec": {"replicas": number_at(item, "spec", "replicas")},
            "status": object_at(item, "status"),
        }
        return KubeObject({"apiVersion": child.resource.api_version, "kind": child.resource.kind, **kept})

    return await ListReader(call.identity, call.services.clock, MAX_CHILDREN_READ).read(child, parse, labels=selector)


def select_pods(
    owner: KubeObject, sets: Sequence[KubeObject], pods: Sequence[KubeObject], *, sets_are_known: bool = True
) -> list[KubeObject]:
    """Return the pods of a workload or Service: a Service selects them, a Deployment owns them by its ReplicaSets.

    Where the ReplicaSets or Jobs could not be read, every selected pod counts as the owner's.
    """
    is_between = owner.kind in _BETWEEN
    if owner.kind == "Service" or (is_between and not sets_are_known):
        return list(pods)
    uids = {each.uid for each in sets} if is_between else {owner.uid}
    return [pod for pod in pods if is_owned_by(pod, uids)]


def is_owned_by(item: KubeObject, uids: set[str]) -> bool:
    return any(text_at(owner, "uid") in uids for owner in item.owners)


async def format_children(items: list[KubeObject], warnings: WarningEvents, call: CallContext) -> list[str]:
    """Format ReplicaSets or Jobs: those that are active or in trouble first, then the newest."""
    newest = sorted(items, key=lambda item: text_at(item.body, "metadata", "creationTimestamp"), reverse=True)
    ordered = sorted(newest, key=lambda item: not (_is_active(item) or warnings.about(item)))
    lines = [await format_child(item, warnings, call) for item in ordered[:MAX_OTHER_CHILDREN]]
    left_out = len(ordered) - len(lines)
    return lines + ([f"… {left_out} more {ordered[0].kind.lower()}s"] if left_out else [])


def _is_active(item: KubeObject) -> bool:
    is_running = bool(number_at(item.body, "spec", "replicas") or number_at(item.body, "status", "active"))
    return is_running or item.is_deleting or any(map(reports_problem, item.conditions))


async def format_child(item: KubeObject, warnings: WarningEvents, call: CallContext) -> str:
    """Format a child that is not a pod, with its counts, its problems and the latest warnings about it."""
    body = KubeObject(await redact_object(item.body, call.redactor()))
    latest = await redact_messages(warnings.about(item), call)
    return ", ".join(
        [
            f"{item.kind.lower()}/{item.name}{_format_counts(item)}",
            *(["being deleted"] if item.is_deleting else []),
            *(format_condition(condition) for condition in body.conditions if reports_problem(condition)),
            *format_warnings(latest),
        ]
    )


def _format_counts(item: KubeObject) -> str:
    if item.kind == "Job":
        counts = {name: number_at(item.body, "status", name) for name in ("active", "succeeded", "failed")}
        found = [f"{count} {name}" for name, count in counts.items() if count]
        return f" {', '.join(found)}" if found else ""
    wanted = number_at(item.body, "spec", "replicas")
    ready = number_at(item.body, "status", "readyReplicas") or 0
    return "" if wanted is None else f" {ready}/{wanted} ready"
