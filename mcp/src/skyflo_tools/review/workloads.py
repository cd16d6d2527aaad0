"""Warn about what a workload or a Service will lack after a change."""

from skyflo_common.jsontypes import JsonObject, number_at, objects_at, strings_at, text_at
from skyflo_tools.errors import ToolFailure
from skyflo_tools.kubernetes.lookup import ResourceScope, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import pod_selector
from skyflo_tools.tool import CallContext

_WORKLOADS = ("Deployment", "StatefulSet")


async def check_workload(manifest: JsonObject, scope: ResourceScope, call: CallContext) -> list[str]:
    """Warn about single replicas, moving image tags, Services without pods, and missing disruption budgets."""
    kind = scope.resource.kind
    if kind == "Service":
        return await _service_warnings(manifest, scope, call)
    if kind not in _WORKLOADS:
        return []
    found = [f"{kind.lower()} {text_at(manifest, 'metadata', 'name')}: {each}" for each in _template_warnings(manifest)]
    return found + await _disruption_budget_warnings(manifest, scope, call)


def _template_warnings(manifest: JsonObject) -> list[str]:
    found = []
    if number_at(manifest, "spec", "replicas") == 1:
        found.append("a single replica has no redundancy")
    images = [text_at(each, "image") for each in objects_at(manifest, "spec", "template", "spec", "containers")]
    return found + [f"image {image} has no fixed version" for image in images if image and _has_moving_tag(image)]


def _has_moving_tag(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@" not in image and tag in ("", "latest")


async def _service_warnings(manifest: JsonObject, scope: ResourceScope, call: CallContext) -> list[str]:
    service = KubeObject(manifest | {"kind": "Service"})
    selector = pod_selector(service)
    if not selector:
        return []
    try:
        pods = await resolve_scope(scope.cluster, "v1/Pod", scope.namespace)
        path = pods.resource.collection_path(pods.namespace)
        response = await scope.cluster.client.get(path, call.identity, labelSelector=selector, limit="1")
    except ToolFailure as error:
        return [f"whether service {service.name} finds pods could not be checked: {error.message}"]
    return (
        [] if objects_at(response, "items") else [f"service {service.name}: no pod matches its selector {selector} now"]
    )


async def _disruption_budget_warnings(manifest: JsonObject, scope: ResourceScope, call: CallContext) -> list[str]:
    """Warn if all of several replicas may be evicted at once."""
    if (number_at(manifest, "spec", "replicas") or 1) < 2:
        return []
    name = f"{scope.resource.kind.lower()} {text_at(manifest, 'metadata', 'name')}"
    try:
        budgets = await resolve_scope(scope.cluster, "policy/v1/PodDisruptionBudget", scope.namespace)
        path = budgets.resource.collection_path(budgets.namespace)
        response = await scope.cluster.client.get(path, call.identity, limit="500")
    except ToolFailure as error:
        return [f"{name}: whether a PodDisruptionBudget covers its replicas could not be checked: {error.message}"]
    labels = strings_at(manifest, "spec", "template", "metadata", "labels")
    may_be_covered = any(_may_cover(item, labels) for item in objects_at(response, "items"))
    if may_be_covered or text_at(response, "metadata", "continue"):
        return []
    return [f"{name}: no PodDisruptionBudget covers its replicas"]


def _may_cover(budget: JsonObject, labels: dict[str, str]) -> bool:
    """Return whether a budget selects the pods as far as its labels say. An empty selector selects all pods."""
    return strings_at(budget, "spec", "selector", "matchLabels").items() <= labels.items()
