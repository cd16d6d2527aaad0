"""Read the kinds of an API server: by aggregated discovery, else by one list for each group version.

Servers before 1.26, servers with the feature off, and some proxies answer the request for aggregated discovery with an
error, or with the older lists. All of these are read. What can't be read is part of the result.
"""

import asyncio

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import ApiStatusError, ApiUnreachable, ClusterError, ToolFailure, UnreadableResponse
from skyflo_tools.kubernetes.client import ApiRequest, KubeClient
from skyflo_tools.kubernetes.discovery_documents import (
    Catalog,
    format_group_version,
    is_aggregated,
    is_version_or_group_list,
    list_group_versions,
    parse_aggregated,
    parse_resource_list,
)

ROOTS = ("/api", "/apis")
MAX_GROUP_VERSIONS = 1000
MAX_CONCURRENT_READS = 8
ROOT_SECONDS = 8.0
GROUP_SECONDS = 5.0
_PLAIN = "application/json"
_AGGREGATED = ",".join(
    [f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList" for version in ("v2", "v2beta1")]
    + [_PLAIN]
)


async def read_catalog(client: KubeClient) -> Catalog:
    """Read all kinds. Raises ClusterError if there is none, ApiUnreachable, and ApiStatusError with status 401."""
    parts = await gather(_read_root(client, root) for root in ROOTS)
    catalog = Catalog(
        [resource for part in parts for resource in part.resources],
        {place: problem for part in parts for place, problem in part.problems.items()},
    )
    if not catalog.resources:
        found = "; ".join(f"{place}: {problem}" for place, problem in catalog.problems.items())
        raise ClusterError(
            f"cluster {client.name} does not tell which kinds it has: {found[:1500]}",
            code="discovery_failed",
            hint="check the server address in the kubeconfig; kubectl api-resources shows what this user may discover",
        )
    return catalog


async def _read_root(client: KubeClient, root: str) -> Catalog:
    try:
        async with asyncio.timeout(ROOT_SECONDS):
            document = await _read_document(client, root)
    except TimeoutError:
        return Catalog([], {root: f"no answer within {ROOT_SECONDS:.0f} s"})
    except (ApiStatusError, UnreadableResponse) as error:
        if isinstance(error, ApiStatusError) and error.status == 401:
            raise
        return Catalog([], {root: error.message})
    found = parse_aggregated(document) if is_aggregated(document) else await _read_groups(client, root, document)
    if not found.resources and not found.problems:
        return Catalog([], {root: "it lists no kinds"})
    return found


async def _read_document(client: KubeClient, root: str) -> JsonObject:
    """Ask for aggregated discovery, and for the plain lists if the answer is an error or can't be read."""
    try:
        return await _request_document(client, root, _AGGREGATED)
    except (ApiStatusError, UnreadableResponse) as error:
        if isinstance(error, ApiStatusError) and error.status == 401:
            raise
        return await _request_document(client, root, _PLAIN)


async def _request_document(client: KubeClient, path: str, accept: str) -> JsonObject:
    document = (await client.send(ApiRequest("GET", path, accept=accept))).json()
    if is_aggregated(document) or is_version_or_group_list(document):
        return document
    raise UnreadableResponse("the answer is no discovery document", sent=True)


async def _read_groups(client: KubeClient, root: str, document: JsonObject) -> Catalog:
    """Read one list for each group version, some at a time."""
    listed = list_group_versions(document)
    slots = asyncio.Semaphore(MAX_CONCURRENT_READS)
    parts = await gather(_read_group(client, root, *each, slots) for each in listed[:MAX_GROUP_VERSIONS])
    catalog = Catalog()
    for part in parts:
        catalog.resources.extend(part.resources)
        catalog.problems.update(part.problems)
    if len(listed) > MAX_GROUP_VERSIONS:
        catalog.problems[root] = f"{len(listed) - MAX_GROUP_VERSIONS} more group versions were not read"
    return catalog


async def _read_group(client: KubeClient, root: str, group: str, version: str, slots: asyncio.Semaphore) -> Catalog:
    name = format_group_version(group, version)
    try:
        async with slots, asyncio.timeout(GROUP_SECONDS):
            document = await client.get(f"{root}/{name}")
    except TimeoutError:
        return Catalog([], {name: f"no answer within {GROUP_SECONDS:.0f} s"})
    except ToolFailure as error:
        if isinstance(error, ApiUnreachable) and not error.sent:
            raise
        return Catalog([], {name: error.message})
    if not isinstance(document.get("resources"), list):
        return Catalog([], {name: "the answer is no list of resources"})
    return Catalog(parse_resource_list(group, version, document))
