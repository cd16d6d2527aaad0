"""From the words of a call to the object that it means."""

from dataclasses import dataclass

from skyflo_tools.errors import ApiRefused
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource


@dataclass(frozen=True)
class Place:
    """A kind in a cluster, and the namespace to look in (empty: all, or the kind has none)."""

    cluster: Cluster
    resource: Resource
    namespace: str


async def place(cluster: Cluster, kind: str, namespace: str | None, *, everywhere: bool = False) -> Place:
    """Where objects of the kind are. Raises BadArguments for an unknown kind."""
    resource = await cluster.discovery.find(kind)
    if not resource.namespaced or everywhere:
        return Place(cluster, resource, "")
    return Place(cluster, resource, namespace or cluster.namespace)


async def fetch(where: Place, name: str, identity: Identity | None) -> KubeObject:
    """The object. Raises ApiRefused (`not_found`)."""
    return KubeObject(await where.cluster.client.get(where.resource.item(where.namespace, name), identity))


async def fetch_or_none(where: Place, name: str, identity: Identity | None) -> KubeObject | None:
    try:
        return await fetch(where, name, identity)
    except ApiRefused as error:
        if error.is_missing:
            return None
        raise
