"""k8s_list_clusters: which clusters there are and what may be done to them."""

from pydantic import BaseModel

from skyflo_tools.concurrency import together
from skyflo_tools.errors import ToolFailure
from skyflo_tools.jsontypes import text_at
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.tool import Call, Description, Output, Read, ToolArguments


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


async def list_clusters(_: ListClustersArguments, call: Call) -> Output:
    clusters = call.services.clusters
    if problem := clusters.missing():
        return Output(f"No cluster: {problem}.", ClusterList(clusters=[], problem=problem))
    names = [allowed.name for allowed in clusters.allowed()]
    entries = await together(_entry(clusters, name, call.identity) for name in names)
    return Output("\n".join(_line(entry) for entry in entries), ClusterList(clusters=entries, problem=""))


async def _entry(clusters: Clusters, name: str, identity: Identity | None) -> ClusterEntry:
    version, problem, server, kind = "", "", "", "real"
    writable, how = _writable(clusters, name)
    try:
        cluster = clusters.choose(name)
        server, kind = cluster.client.connection.cluster.server, "sandbox" if cluster.sandbox else "real"
        version = text_at(await cluster.client.get("/version", identity), "gitVersion")
    except ToolFailure as error:
        problem = error.message
    return ClusterEntry(
        name=name,
        server=server,
        version=version,
        reachable=not problem,
        writable=writable,
        kind=kind,
        current=name == clusters.kubeconfig().current,
        problem=problem,
        hint=how,
    )


def _writable(clusters: Clusters, name: str) -> tuple[bool, str]:
    try:
        clusters.writable(name)
    except ToolFailure as error:
        return False, error.hint
    return True, ""


def _line(entry: ClusterEntry) -> str:
    state = f"reachable, {entry.version}" if entry.reachable else f"NOT reachable: {entry.problem}"
    rights = "may be changed" if entry.writable else f"read-only ({entry.hint})"
    current = ", current" if entry.current else ""
    return f"{entry.name} ({entry.kind}{current}) {entry.server}: {state}; {rights}"


LIST_CLUSTERS = Read(
    Description(
        "k8s_list_clusters",
        "List clusters",
        "The clusters that can be used: name, server, version, whether reachable, whether changes are allowed.",
    ),
    ListClustersArguments,
    list_clusters,
)
