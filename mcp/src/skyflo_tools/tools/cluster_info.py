"""The tool k8s_cluster_info: what kind of cluster this is, and whether its own parts are well."""

from collections import Counter
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from skyflo_common.jsontypes import JsonObject, dig, object_at, strings_at, text_at
from skyflo_tools.concurrency import gather_two
from skyflo_tools.kubernetes.client import ApiRequest
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.conditions import format_condition, reports_problem
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import is_built_in
from skyflo_tools.kubernetes.pod_summary import PodSummary, slim_pod
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.reports.pod_report import PodReport, read_namespace_warnings, report_pods
from skyflo_tools.side_reads import SideRead, read_side
from skyflo_tools.tool import CallContext, ClusterArguments, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.side_lists import read_side_list

MAX_READ = 10_000
MAX_NODES_SHOWN = 20
MAX_PODS_SHOWN = 10
MAX_GROUPS_SHOWN = 60
SYSTEM_NAMESPACE = "kube-system"
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

T = TypeVar("T")


class ClusterInfoArguments(ClusterArguments):
    pass


class ClusterInfoResult(BaseModel):
    """Numbers are None where they could not be read."""

    name: str
    server: str
    version: str
    platform: str
    ready: bool | None
    nodes: int | None
    nodes_ready: int | None
    node_versions: dict[str, int]
    """Kubelet version, system and container runtime, and how many nodes have them."""
    node_problems: list[str]
    namespaces: int | None
    storage_classes: list[str] | None
    extension_groups: list[str]
    """API groups of custom resources and extension servers: what is installed."""
    system_pods: list[str]
    """Pods of kube-system that are not ready or have restarted."""
    pod_summaries: list[PodSummary] = []
    notes: list[str] = []


@dataclass(frozen=True)
class _Node:
    is_ready: bool
    kind: str
    problem: str


async def cluster_info(arguments: ClusterInfoArguments, call: CallContext) -> ToolOutput[ClusterInfoResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    version = await cluster.client.get("/version", call.identity)
    ready, groups = await gather_two(_read_readiness(cluster, call), _read_groups(cluster))
    nodes, namespaces = await gather_two(
        read_side_list("nodes", cluster, "v1/Node", "", _parse_node, call, limit=MAX_READ),
        read_side_list("namespaces", cluster, "v1/Namespace", "", _name_of, call, limit=MAX_READ),
    )
    classes, system = await gather_two(
        read_side_list(
            "storage classes", cluster, "storage.k8s.io/v1/StorageClass", "", _parse_class, call, limit=MAX_READ
        ),
        _read_system_pods(cluster, call),
    )
    problems = [each.problem for each in (ready, groups, nodes, namespaces, classes, system) if each.problem]
    unread = [each.value.unread for each in (nodes, namespaces, classes) if each.value.unread]
    result = ClusterInfoResult(
        name=cluster.name,
        server=cluster.client.connection.cluster.server,
        version=text_at(version, "gitVersion"),
        platform=text_at(version, "platform"),
        ready=ready.value,
        nodes=_count(nodes),
        nodes_ready=None if _count(nodes) is None else sum(node.is_ready for node in nodes.value.items),
        node_versions=dict(Counter(node.kind for node in nodes.value.items).most_common(MAX_NODES_SHOWN)),
        node_problems=_first([node.problem for node in nodes.value.items if node.problem], MAX_NODES_SHOWN, "nodes"),
        namespaces=_count(namespaces),
        storage_classes=None if classes.problem else classes.value.items[:MAX_NODES_SHOWN],
        extension_groups=_first(groups.value, MAX_GROUPS_SHOWN, "groups"),
        system_pods=system.value.lines(),
        pod_summaries=system.value.shown,
        notes=[*problems, *unread, *await _group_problems(cluster)],
    )
    return ToolOutput(limit_lines(_render(result), TEXT_BYTES, "lines"), result)


def _count(read: SideRead[Listing[T]]) -> int | None:
    """Return how many there are; None unless the list was read to its end."""
    return None if read.problem or read.value.unread else len(read.value.items)


def _first(lines: list[str], at_most: int, what: str) -> list[str]:
    more = len(lines) - at_most
    return lines[:at_most] + ([f"… {more} more {what}"] if more > 0 else [])


async def _read_readiness(cluster: Cluster, call: CallContext) -> SideRead[bool | None]:
    """Ask the API server whether it is ready. An answer with an error status is a note."""

    async def read() -> bool | None:
        response = await cluster.client.send(ApiRequest("GET", "/readyz", accept="*/*"), call.identity)
        return response.text().strip() == "ok"

    return await read_side("readiness of the API server", read(), None)


async def _read_groups(cluster: Cluster) -> SideRead[list[str]]:
    async def read() -> list[str]:
        return sorted({each.group for each in await cluster.discovery.resources() if not is_built_in(each)})

    return await read_side("API groups", read(), [])


async def _group_problems(cluster: Cluster) -> list[str]:
    problems = await read_side("which API groups have problems", cluster.discovery.find_problems(), [])
    return [*([problems.problem] if problems.problem else []), *problems.value]


async def _read_system_pods(cluster: Cluster, call: CallContext) -> SideRead[PodReport]:
    async def read() -> PodReport:
        scope = await resolve_scope(cluster, "v1/Pod", SYSTEM_NAMESPACE)
        pods, warnings = await gather_two(
            ListReader(call.identity, call.services.clock, MAX_READ).read(scope, slim_pod),
            read_namespace_warnings(cluster, SYSTEM_NAMESPACE, call, kind="Pod"),
        )
        return await report_pods(pods.items, warnings.value, call, MAX_PODS_SHOWN, only_troubled=True)

    return await read_side(f"pods of {SYSTEM_NAMESPACE}", read(), PodReport())


def _parse_node(body: JsonObject) -> _Node:
    info = object_at(body, "status", "nodeInfo")
    kind = ", ".join(
        text_at(info, key) for key in ("kubeletVersion", "osImage", "architecture", "containerRuntimeVersion")
    )
    node = KubeObject(body)
    ready = [each for each in node.conditions if text_at(each, "type") == "Ready"]
    wrong = [each for each in node.conditions if _is_node_problem(each)]
    facts = [format_condition(each) for each in wrong] + ([] if ready else ["without a condition Ready"])
    facts += ["cordoned"] if dig(body, "spec", "unschedulable") is True else []
    is_ready = bool(ready) and text_at(ready[0], "status") == "True"
    return _Node(is_ready, kind, f"node/{node.name} {'; '.join(facts)}" if facts else "")


def _is_node_problem(condition: JsonObject) -> bool:
    """Return whether a condition of a node reports a problem: all but Ready are about pressure or failures."""
    if text_at(condition, "type") == "Ready":
        return reports_problem(condition)
    return text_at(condition, "status") == "True"


def _name_of(body: JsonObject) -> str:
    return text_at(body, "metadata", "name")


def _parse_class(body: JsonObject) -> str:
    is_default = strings_at(body, "metadata", "annotations").get(DEFAULT_CLASS) == "true"
    return f"{_name_of(body)} ({text_at(body, 'provisioner')}{', default' if is_default else ''})"


def _render(result: ClusterInfoResult) -> list[str]:
    ready = {True: "ready", False: "NOT ready", None: "readiness not known"}[result.ready]
    nodes = "?" if result.nodes is None else f"{result.nodes_ready} of {result.nodes} ready"
    spaces = "?" if result.namespaces is None else str(result.namespaces)
    lines = [
        f"Cluster {result.name} at {result.server}: Kubernetes {result.version} ({result.platform})",
        f"API server: {ready}",
        *result.notes,
        f"Nodes: {nodes}; namespaces: {spaces}",
        *(f"  {count} with {kind}" for kind, count in result.node_versions.items()),
        *(f"  {problem}" for problem in result.node_problems),
    ]
    if result.storage_classes is not None:
        lines.append(f"Storage classes: {', '.join(result.storage_classes) or 'none'}")
    lines.append(f"Extension API groups: {', '.join(result.extension_groups) or 'none that could be read'}")
    if result.system_pods:
        lines += [f"Pods of {SYSTEM_NAMESPACE} in trouble:", *(f"  {line}" for line in result.system_pods)]
    return lines


CLUSTER_INFO = ReadTool(
    ToolInfo(
        "k8s_cluster_info",
        "Cluster overview",
        "Shows one cluster: version, nodes and their problems, storage classes, extensions, troubled system pods.",
    ),
    ClusterInfoArguments,
    cluster_info,
)
