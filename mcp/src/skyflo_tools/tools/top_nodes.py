"""The tool k8s_top_nodes: what nodes use, with what they have and what their pods request."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, text_at
from skyflo_tools.concurrency import gather_two
from skyflo_tools.kubernetes.listing import Listing
from skyflo_tools.kubernetes.pod_resources import (
    CPU,
    MEMORY,
    NOTHING,
    Amounts,
    PodResources,
    add_amounts,
    parse_amounts,
)
from skyflo_tools.kubernetes.quantities import format_cpu, format_memory, percent
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.tables import Table, format_lines
from skyflo_tools.shortening import name_some
from skyflo_tools.side_reads import SideRead
from skyflo_tools.tool import CallContext, ClusterArguments, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.get import Selector
from skyflo_tools.tools.side_lists import read_side_list
from skyflo_tools.tools.usage_reads import (
    MAX_NAMED,
    MAX_READ,
    SortBy,
    UsageReads,
    read_pod_resources,
    read_usage,
    require_some,
)


class TopNodesArguments(ClusterArguments):
    label_selector: Annotated[Selector, Field(default="", description="Such as `pool=web`.")]
    sort_by: SortBy
    limit: Annotated[int, Field(default=50, ge=1, le=500, description="How many nodes at most.")]


class NodeUse(BaseModel):
    """An amount that is used, requested and limited, each with its percentage of what pods may use. Empty: unknown."""

    allocatable: str
    used: str
    used_percent: int | None
    requests: str
    requests_percent: int | None
    limits: str
    limits_percent: int | None


class NodeUsage(BaseModel):
    name: str
    status: str
    pods: int | None
    """Pods that have not ended; None if they could not be read."""
    max_pods: str
    cpu: NodeUse
    memory: NodeUse


class TopNodesResult(BaseModel):
    nodes: list[NodeUsage]
    """The highest usage first."""
    left_out: int
    usage_known: bool
    period: str
    notes: list[str] = []


@dataclass(frozen=True)
class _Node:
    name: str
    status: str
    allocatable: Amounts
    max_pods: str


async def top_nodes(arguments: TopNodesArguments, call: CallContext) -> ToolOutput[TopNodesResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    labels = arguments.label_selector
    (usage, nodes), pods = await gather_two(
        gather_two(
            read_usage(cluster, "nodes", "", call, labels),
            read_side_list("nodes", cluster, "v1/Node", "", _parse_node, call, limit=MAX_READ, labels=labels),
        ),
        read_pod_resources(cluster, "", call),
    )
    require_some(usage, nodes)
    known = nodes.value.items or [_Node(name, "", NOTHING, "") for _, name in usage.usage]
    known = sorted(known, key=lambda node: (-_used(node, usage).get(arguments.sort_by, Fraction(-1)), node.name))
    by_node = _pods_by_node(pods)
    result = TopNodesResult(
        nodes=[_usage_of(node, usage, by_node) for node in known[: arguments.limit]],
        left_out=max(0, len(known) - arguments.limit),
        usage_known=usage.is_known,
        period=usage.period,
        notes=[*usage.notes, *_notes(nodes), *_notes(pods), *_unmeasured(nodes.value.items, usage)],
    )
    return ToolOutput(_render(result, cluster.name), result)


def _parse_node(body: JsonObject) -> _Node:
    ready = [each for each in objects_at(body, "status", "conditions") if text_at(each, "type") == "Ready"]
    status = "Ready" if ready and text_at(ready[0], "status") == "True" else "NotReady"
    allocatable = object_at(body, "status", "allocatable")
    return _Node(
        name=text_at(body, "metadata", "name"),
        status=status + (",cordoned" if dig(body, "spec", "unschedulable") is True else ""),
        allocatable=parse_amounts(allocatable),
        max_pods=text_at(allocatable, "pods"),
    )


def _used(node: _Node, usage: UsageReads) -> Amounts:
    found = usage.usage.get(("", node.name))
    return found.total if found else NOTHING


def _pods_by_node(pods: SideRead[Listing[PodResources]]) -> dict[str, list[PodResources]] | None:
    """Return the pods that have not ended by node; None if not all pods were read."""
    if pods.problem or pods.value.unread:
        return None
    found: dict[str, list[PodResources]] = {}
    for pod in pods.value.items:
        if not pod.has_ended:
            found.setdefault(pod.node, []).append(pod)
    return found


def _notes(read: SideRead[Listing[PodResources]] | SideRead[Listing[_Node]]) -> list[str]:
    return [note for note in (read.problem, read.value.unread) if note]


def _unmeasured(nodes: list[_Node], usage: UsageReads) -> list[str]:
    missing = [node.name for node in nodes if ("", node.name) not in usage.usage]
    if not (missing and usage.is_known):
        return []
    return [f"the metrics API has nothing about {len(missing)} nodes: {name_some(missing, MAX_NAMED)}"]


def _usage_of(node: _Node, usage: UsageReads, by_node: dict[str, list[PodResources]] | None) -> NodeUsage:
    pods = None if by_node is None else by_node.get(node.name, [])
    requests = None if pods is None else add_amounts(pod.scheduled_requests for pod in pods)
    limits = None if pods is None else add_amounts(pod.scheduled_limits for pod in pods)
    uses = {}
    for name, form in ((CPU, format_cpu), (MEMORY, format_memory)):
        whole, used = node.allocatable.get(name), _used(node, usage).get(name)
        requested = None if requests is None else requests.get(name, Fraction(0))
        limited = None if limits is None else limits.get(name, Fraction(0))
        uses[name] = NodeUse(
            allocatable=form(whole),
            used=form(used),
            used_percent=percent(used, whole),
            requests=form(requested),
            requests_percent=percent(requested, whole),
            limits=form(limited),
            limits_percent=percent(limited, whole),
        )
    return NodeUsage(
        name=node.name,
        status=node.status,
        pods=None if pods is None else len(pods),
        max_pods=node.max_pods,
        cpu=uses[CPU],
        memory=uses[MEMORY],
    )


def _render(result: TopNodesResult, cluster: str) -> str:
    if not result.nodes:
        return "\n".join([*result.notes, f"No nodes that match (cluster {cluster})."])
    columns = ["Node", "Status", "CPU", "requests", "limits", "of", "Memory", "requests", "limits", "of", "Pods"]
    lines = format_lines(Table(columns, [_cells(each) for each in result.nodes], None, ""))
    lines += [f"… {result.left_out} more nodes, raise limit or narrow with label_selector"] if result.left_out else []
    title = f"Usage of nodes (cluster {cluster}), {result.period or 'not known'}"
    return limit_lines([*result.notes, title, *lines], TEXT_BYTES, "lines", "ask for fewer with limit")


def _cells(each: NodeUsage) -> list[str]:
    uses = [
        cell
        for use in (each.cpu, each.memory)
        for cell in (
            _share(use.used, use.used_percent),
            _share(use.requests, use.requests_percent),
            _share(use.limits, use.limits_percent),
            use.allocatable or "?",
        )
    ]
    pods = "?" if each.pods is None else str(each.pods)
    return [each.name, each.status, *uses, f"{pods}/{each.max_pods or '?'}"]


def _share(amount: str, share: int | None) -> str:
    return "?" if not amount else amount if share is None else f"{amount} ({share}%)"


TOP_NODES = ReadTool(
    ToolInfo(
        "k8s_top_nodes",
        "Usage of nodes",
        "Shows CPU and memory that nodes use (metrics API), with what they have and what their pods request.",
    ),
    TopNodesArguments,
    top_nodes,
)
