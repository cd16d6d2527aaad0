"""What a manifest itself gives reason to warn of."""

from skyflo_tools.errors import ApiRefused
from skyflo_tools.jsontypes import JsonObject, number_at, objects_at, strings_at, text_at
from skyflo_tools.kubernetes.locate import Place, place
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pods import selector_of
from skyflo_tools.tool import Call

_WORKLOADS = ("Deployment", "StatefulSet")


async def manifest_cautions(manifest: JsonObject, where: Place, call: Call) -> list[str]:
    """Single replicas, moving image tags, a Service that would find no pods, replicas without a budget."""
    kind = where.resource.kind
    if kind == "Service":
        return await _empty_service(manifest, where, call)
    if kind not in _WORKLOADS:
        return []
    found = [f"{kind.lower()} {text_at(manifest, 'metadata', 'name')}: {each}" for each in _template_cautions(manifest)]
    return found + await _without_budget(manifest, where, call)


def _template_cautions(manifest: JsonObject) -> list[str]:
    found = []
    if number_at(manifest, "spec", "replicas") == 1:
        found.append("a single replica has no redundancy")
    images = [text_at(each, "image") for each in objects_at(manifest, "spec", "template", "spec", "containers")]
    return found + [f"image {image} has no fixed version" for image in images if image and _moves(image)]


def _moves(image: str) -> bool:
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@" not in image and tag in ("", "latest")


async def _empty_service(manifest: JsonObject, where: Place, call: Call) -> list[str]:
    service = KubeObject(manifest | {"kind": "Service"})
    selector = selector_of(service)
    if not selector:
        return []
    pods = await place(where.cluster, "v1/Pod", where.namespace)
    try:
        path = pods.resource.collection(pods.namespace)
        answer = await where.cluster.client.get(path, call.identity, labelSelector=selector, limit="1")
    except ApiRefused:
        return [f"whether service {service.name} would find pods could not be checked"]
    return (
        [] if objects_at(answer, "items") else [f"service {service.name}: no pod matches its selector {selector} now"]
    )


async def _without_budget(manifest: JsonObject, where: Place, call: Call) -> list[str]:
    """Several replicas that may all be evicted at once."""
    if (number_at(manifest, "spec", "replicas") or 1) < 2:
        return []
    budgets = await place(where.cluster, "policy/v1/PodDisruptionBudget", where.namespace)
    try:
        path = budgets.resource.collection(budgets.namespace)
        answer = await where.cluster.client.get(path, call.identity, limit="500")
    except ApiRefused:
        return []
    labels = strings_at(manifest, "spec", "template", "metadata", "labels")
    if any(_covers(item, labels) for item in objects_at(answer, "items")):
        return []
    name = f"{where.resource.kind.lower()} {text_at(manifest, 'metadata', 'name')}"
    return [f"{name}: no PodDisruptionBudget covers its replicas"]


def _covers(budget: JsonObject, labels: dict[str, str]) -> bool:
    wanted = strings_at(budget, "spec", "selector", "matchLabels")
    return bool(wanted) and wanted.items() <= labels.items()
