"""Warn about Services and controllers that select pods by labels which a change sets or removes."""

from skyflo_common.jsontypes import JsonObject, strings_at, text_at
from skyflo_tools.kubernetes.listing import Listing, ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch_or_none, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.workloads import ROLLING_KINDS
from skyflo_tools.side_reads import read_side
from skyflo_tools.tool import CallContext

MAX_SERVICES_READ = 2000
MAX_NAMED = 5


async def label_warnings(before: KubeObject, after: JsonObject, scope: ResourceScope, call: CallContext) -> list[str]:
    """Warn where a pod, or the pods of a workload, enter or leave a Service or their controller by their labels."""
    old, new = _pod_labels(before.body, scope), _pod_labels(after, scope)
    if old == new:
        return []
    return await _service_warnings(before, old, new, scope, call) + await _owner_warnings(before, new, scope, call)


def _pod_labels(body: JsonObject, scope: ResourceScope) -> dict[str, str]:
    if scope.resource.group == "" and scope.resource.kind == "Pod":
        return strings_at(body, "metadata", "labels")
    if scope.resource.group == "apps" and scope.resource.kind in ROLLING_KINDS:
        return strings_at(body, "spec", "template", "metadata", "labels")
    return {}


async def _service_warnings(
    changed: KubeObject, old: dict[str, str], new: dict[str, str], scope: ResourceScope, call: CallContext
) -> list[str]:
    async def read() -> Listing[KubeObject]:
        services = await resolve_scope(scope.cluster, "v1/Service", scope.namespace)
        return await ListReader(call.identity, call.services.clock, MAX_SERVICES_READ).read(services, KubeObject)

    found = await read_side("the services that select its pods", read(), Listing([]))
    left, entered = [], []
    for service in found.value.items:
        selector = strings_at(service.body, "spec", "selector")
        was, will = (bool(selector) and selector.items() <= labels.items() for labels in (old, new))
        if was and not will:
            left.append(service.name)
        elif will and not was:
            entered.append(service.name)
    texts = [problem for problem in (found.problem, found.value.unread) if problem]
    texts += [f"service {', '.join(left[:MAX_NAMED])} no longer selects the pods of {changed}"] if left else []
    return texts + ([f"service {', '.join(entered[:MAX_NAMED])} now selects the pods of {changed}"] if entered else [])


async def _owner_warnings(pod: KubeObject, new: dict[str, str], scope: ResourceScope, call: CallContext) -> list[str]:
    """Say if a pod leaves its controller, which then creates another one in its place."""
    owner = next((each for each in pod.owners if each.get("controller") is True), None)
    if scope.resource.kind != "Pod" or owner is None:
        return []
    kind, name = text_at(owner, "kind"), text_at(owner, "name")

    async def read() -> KubeObject | None:
        owners = await resolve_scope(scope.cluster, f"{text_at(owner, 'apiVersion')}/{kind}", scope.namespace)
        return await fetch_or_none(owners, name, call.identity)

    found = await read_side(f"the selector of {kind.lower()}/{name}", read(), None)
    if found.problem:
        return [found.problem]
    if found.value is None or _matches(found.value, new):
        return []
    return [f"{pod} leaves {kind.lower()}/{name}, which creates another pod in its place"]


def _matches(owner: KubeObject, labels: dict[str, str]) -> bool:
    """Return whether a controller's selector still matches; expressions are taken to match."""
    return strings_at(owner.body, "spec", "selector", "matchLabels").items() <= labels.items()
