"""Resolve the kind, namespace and name of a tool call to an object."""

import difflib
from dataclasses import dataclass

from skyflo_common.jsontypes import objects_at, text_at
from skyflo_tools.errors import ApiStatusError, ToolFailure
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Cluster
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.paths import Resource, path_segment


@dataclass(frozen=True)
class ResourceScope:
    """A kind in a cluster and a namespace. An empty namespace means all namespaces, or a cluster-scoped kind."""

    cluster: Cluster
    resource: Resource
    namespace: str


async def resolve_scope(
    cluster: Cluster, kind: str, namespace: str | None, *, everywhere: bool = False
) -> ResourceScope:
    """Resolve a kind and a namespace. Raises InvalidArguments for an unknown kind."""
    resource = await cluster.discovery.find(kind)
    if not resource.namespaced or everywhere:
        return ResourceScope(cluster, resource, "")
    return ResourceScope(cluster, resource, namespace or cluster.namespace)


async def fetch(scope: ResourceScope, name: str, identity: Identity | None) -> KubeObject:
    """Read an object. Raises ApiStatusError with code `not_found` if it, or its namespace, does not exist."""
    try:
        return await _get(scope, name, identity)
    except ApiStatusError as error:
        raise await explain_error(error, scope, identity) from error


async def fetch_or_none(scope: ResourceScope, name: str, identity: Identity | None) -> KubeObject | None:
    try:
        return await _get(scope, name, identity)
    except ApiStatusError as error:
        if error.is_missing:
            return None
        raise


async def _get(scope: ResourceScope, name: str, identity: Identity | None) -> KubeObject:
    return KubeObject(await scope.cluster.client.get(scope.resource.object_path(scope.namespace, name), identity))


async def explain_error(error: ApiStatusError, scope: ResourceScope, identity: Identity | None) -> ApiStatusError:
    """Return the error, with what else is missing: the namespace of an object, or the server of its group."""
    if error.status == 503 and (reason := await scope.cluster.discovery.explain_outage(scope.resource)):
        return error.with_message(f"{error.message}: {reason}", code="kind_unavailable")
    if error.is_missing and (note := await require_namespace(scope, identity)):
        return error.with_message(f"{error.message}{note}")
    return error


async def require_namespace(scope: ResourceScope, identity: Identity | None) -> str:
    """Check that the scope's namespace exists. Call this before reporting that something is not in it.

    The API server answers a list in a missing namespace with an empty list. Returns a note for the report, such as
    " (the namespace is being deleted)", or an empty string. Raises ApiStatusError (`not_found`) for a missing one.
    """
    if not scope.namespace:
        return ""
    client = scope.cluster.client
    try:
        found = await client.get(f"/api/v1/namespaces/{path_segment(scope.namespace, 'namespace')}", identity)
    except ApiStatusError as error:
        if not error.is_missing:
            return f" (whether the namespace exists could not be checked: {error.code})"
        message = f"namespace {scope.namespace} does not exist in cluster {scope.cluster.name}"
        similar = await _find_similar_namespaces(scope, identity)
        hint = f"did you mean {', '.join(similar)}?" if similar else "k8s_get kind=namespaces lists the namespaces"
        raise error.with_message(message, hint=hint) from error
    except ToolFailure as error:
        return f" (whether the namespace exists could not be checked: {error.code})"
    is_deleted = bool(text_at(found, "metadata", "deletionTimestamp"))
    return " (the namespace is being deleted)" if is_deleted else ""


async def _find_similar_namespaces(scope: ResourceScope, identity: Identity | None) -> list[str]:
    try:
        listed = await scope.cluster.client.get("/api/v1/namespaces", identity, limit="500")
    except ToolFailure:  # a suggestion only: the error that is raised is complete without it
        return []
    names = [text_at(each, "metadata", "name") for each in objects_at(listed, "items")]
    return difflib.get_close_matches(scope.namespace, names, n=3)
