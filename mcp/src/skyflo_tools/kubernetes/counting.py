"""Count objects before they are deleted with something else."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from skyflo_common.jsontypes import number_at, objects_at, text_at
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import ToolFailure
from skyflo_tools.kubernetes.client import ApiRequest, Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.lookup import ResourceScope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource
from skyflo_tools.shortening import name_some

MAX_CONCURRENT = 8
COUNTING_SECONDS = 15.0
MAX_NAMED = 30
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io,application/json"


@dataclass(frozen=True)
class Count:
    """How many objects of a kind there are. `number` is a lower bound if the API server does not count them."""

    resource: Resource
    number: int = 0
    is_exact: bool = True
    problem: str = ""

    def __str__(self) -> str:
        name = self.resource.plural if self.number != 1 else self.resource.singular or self.resource.kind.lower()
        return f"{'' if self.is_exact else 'at least '}{self.number} {name}"


async def count_objects(scope: ResourceScope, identity: Identity | None, selector: str = "") -> Count:
    """Count the objects of a kind by their metadata. An error of the API server is part of the result."""
    # With a selector the API server does not say how many remain, so more of them are read.
    params = {"limit": "500", "labelSelector": selector} if selector else {"limit": "1"}
    path = scope.resource.collection_path(scope.namespace)
    try:
        request = ApiRequest("GET", path, params, accept=_METADATA_ONLY)
        listed = (await scope.cluster.client.send(request, identity)).json()
    except ToolFailure as error:
        return Count(scope.resource, problem=error.code)
    remaining = number_at(listed, "metadata", "remainingItemCount")
    has_more = bool(text_at(listed, "metadata", "continue"))
    number = len(objects_at(listed, "items")) + (remaining or 0)
    return Count(scope.resource, number, is_exact=remaining is not None or not has_more)


async def count_of_custom_kind(definition: KubeObject, cluster: Cluster, identity: Identity | None) -> str:
    """Say what is deleted together with a CustomResourceDefinition."""
    versions = objects_at(definition.body, "spec", "versions")
    served = next((text_at(each, "name") for each in versions if each.get("served") is True), "")
    resource = Resource(
        group=text_at(definition.body, "spec", "group"),
        version=served,
        kind=text_at(definition.body, "spec", "names", "kind"),
        plural=text_at(definition.body, "spec", "names", "plural"),
        namespaced=text_at(definition.body, "spec", "scope") == "Namespaced",
    )
    what = "every object of this kind, in every namespace, is deleted with it"
    if not served:
        return f"{what}; how many could not be read, since no version is served"
    count = await count_objects(ResourceScope(cluster, resource, ""), identity)
    return f"{what}: {count}" if not count.problem else f"{what}; how many could not be read: {count.problem}"


async def contents_of_namespace(namespace: str, cluster: Cluster, identity: Identity | None) -> list[str]:
    """Count every kind in a namespace. "Empty" is said only if every kind was read."""
    kinds = _kinds_to_count(await cluster.discovery.resources())
    counts = await _count_all(kinds, namespace, cluster, identity)
    found = [str(count) for count in counts if count.number]
    unread = [f"{count.resource.plural} ({count.problem})" for count in counts if count.problem]
    unread += [kind.plural for kind in kinds[len(counts) :]]
    problems = await cluster.discovery.find_problems()
    lines = [f"everything in the namespace is deleted: {_listed(found)}"] if found else []
    if unread:
        lines.append(
            f"these kinds could not be counted, and what the namespace has of them is deleted: {_listed(unread)}"
        )
    lines += [f"objects of other kinds may be there and are deleted, too: {problem}" for problem in problems]
    return lines or [f"the namespace is empty: none of its {len(kinds)} kinds has an object"]


def _kinds_to_count(resources: Iterable[Resource]) -> list[Resource]:
    """Return the kinds that a deletion of the namespace deletes, each in one version, without the two of events."""
    kinds: dict[tuple[str, str], Resource] = {}
    for each in resources:
        if each.namespaced and each.plural != "events" and {"list", "delete"} <= set(each.verbs):
            kinds.setdefault((each.group, each.plural), each)
    return list(kinds.values())


async def _count_all(kinds: list[Resource], namespace: str, cluster: Cluster, identity: Identity | None) -> list[Count]:
    """Count the kinds in groups, as many as there is time for."""
    counts: list[Count] = []
    try:
        async with asyncio.timeout(COUNTING_SECONDS):
            for start in range(0, len(kinds), MAX_CONCURRENT):
                batch = [ResourceScope(cluster, kind, namespace) for kind in kinds[start : start + MAX_CONCURRENT]]
                counts += await gather(count_objects(scope, identity) for scope in batch)
    except TimeoutError:
        return counts
    return counts


def _listed(names: list[str]) -> str:
    return name_some(names, MAX_NAMED, "kinds")
