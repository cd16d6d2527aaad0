"""The tool k8s_list_clusters: list clusters, their state, and whether they may be changed."""

import asyncio
from dataclasses import dataclass

from pydantic import BaseModel

from skyflo_common.jsontypes import text_at
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import ApiStatusError, ToolFailure
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Cluster, Clusters
from skyflo_tools.tool import CallContext, ReadTool, ToolArguments, ToolInfo, ToolOutput

DISCOVERY_SECONDS = 10.0


class ListClustersArguments(ToolArguments):
    pass


class ClusterEntry(BaseModel):
    name: str
    server: str
    version: str
    reachable: bool
    writable: bool
    kind: str
    current: bool
    problem: str
    hint: str


class ClusterList(BaseModel):
    clusters: list[ClusterEntry]
    problem: str


@dataclass(frozen=True)
class ClusterState:
    """What a cluster answers. A reachable one may have problems with some of its kinds."""

    version: str = ""
    reachable: bool = False
    problem: str = ""


async def list_clusters(_: ListClustersArguments, call: CallContext) -> ToolOutput[ClusterList]:
    clusters = call.services.clusters
    if problem := clusters.configuration_problem():
        return ToolOutput(f"No cluster: {problem}.", ClusterList(clusters=[], problem=problem))
    names = [allowed.name for allowed in clusters.allowed_contexts()]
    entries = await gather(_read_entry(clusters, name, call.identity) for name in names)
    return ToolOutput("\n".join(_format_entry(entry) for entry in entries), ClusterList(clusters=entries, problem=""))


async def _read_entry(clusters: Clusters, name: str, identity: Identity | None) -> ClusterEntry:
    state, server, kind = ClusterState(), "", "real"
    writable, hint = _check_writable(clusters, name)
    try:
        cluster = clusters.choose(name)
        server, kind = cluster.client.connection.cluster.server, "sandbox" if cluster.sandbox else "real"
        state = await _read_state(cluster, identity)
    except ToolFailure as error:
        state = ClusterState(problem=error.message)
    return ClusterEntry(
        name=name,
        server=server,
        version=state.version,
        reachable=state.reachable,
        writable=writable,
        kind=kind,
        current=name == clusters.kubeconfig().current,
        problem=state.problem,
        hint=hint,
    )


async def _read_state(cluster: Cluster, identity: Identity | None) -> ClusterState:
    """Read the version, and whether the kinds can be listed, without which no other tool works."""
    try:
        version = text_at(await cluster.client.get("/version", identity), "gitVersion")
    except ApiStatusError as error:
        if error.status != 403:
            raise
        version = "version not shown to these credentials"
    if not version:
        return ClusterState(problem="the answer to /version names no version: this is no Kubernetes API server")
    try:
        async with asyncio.timeout(DISCOVERY_SECONDS):
            problems = await cluster.discovery.find_problems()
    except ToolFailure as error:
        problems = [error.message]
    except TimeoutError:
        problems = [f"its kinds could not be listed within {DISCOVERY_SECONDS:.0f} s"]
    return ClusterState(version, reachable=True, problem="; ".join(problems))


def _check_writable(clusters: Clusters, name: str) -> tuple[bool, str]:
    try:
        clusters.choose_writable(name)
    except ToolFailure as error:
        return False, error.hint
    return True, ""


def _format_entry(entry: ClusterEntry) -> str:
    state = f"reachable, {entry.version}" if entry.reachable else f"NOT reachable: {entry.problem}"
    problem = f"; {entry.problem}" if entry.reachable and entry.problem else ""
    rights = "may be changed" if entry.writable else f"read-only ({entry.hint})"
    current = ", current" if entry.current else ""
    return f"{entry.name} ({entry.kind}{current}) {entry.server}: {state}{problem}; {rights}"


LIST_CLUSTERS = ReadTool(
    ToolInfo(
        "k8s_list_clusters",
        "List clusters",
        "Lists the clusters that can be used: name, server, version, reachability, and whether changes are allowed.",
    ),
    ListClustersArguments,
    list_clusters,
)
