"""Warn about controllers that will revert a change: Helm, GitOps tools, an owner, an autoscaler."""

from collections.abc import Sequence
from dataclasses import dataclass

from skyflo_common.jsontypes import dig, number_at, objects_at, text_at
from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.kubernetes.field_paths import FieldPath
from skyflo_tools.kubernetes.lookup import ResourceScope, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.tool import CallContext

_LABELS = {
    "argocd.argoproj.io/instance": "the Argo CD application",
    "kustomize.toolkit.fluxcd.io/name": "the Flux kustomization",
    "helm.toolkit.fluxcd.io/name": "the Flux Helm release",
    "kapp.k14s.io/app": "the kapp application",
    "olm.owner": "the OLM subscription",
}
_FIELD_MANAGERS = {
    "argocd-controller": "Argo CD",
    "argocd-application-controller": "Argo CD",
    "kustomize-controller": "Flux",
    "helm-controller": "Flux",
    "fleetagent": "Rancher Fleet",
    "configsync.gke.io": "Config Sync",
}
_PEOPLE = ("kubectl", "skyflo")


@dataclass(frozen=True)
class _Scaler:
    """A kind of autoscaler, where it names its target, and the field that it sets."""

    kind: str
    reference: str
    field: str
    what: str


_SCALERS = (
    _Scaler("autoscaling/v2/HorizontalPodAutoscaler", "scaleTargetRef", ".replicas", "the number of replicas"),
    _Scaler("autoscaling.k8s.io/v1/VerticalPodAutoscaler", "targetRef", ".resources", "requests and limits"),
)


def manager_warnings(live: KubeObject) -> list[str]:
    """Warn about controllers that may revert the change: Helm, Argo CD, Flux or an owner."""
    found = [f"{live} is managed by {manager}, which may revert the change" for manager in _managers(live)]
    controller = next((owner for owner in live.owners if owner.get("controller") is True), None)
    if controller is not None:
        owner = f"{text_at(controller, 'kind').lower()}/{text_at(controller, 'name')}"
        found.append(f"{live} belongs to {owner}, which may revert the change: change the owner instead")
    return found


def _managers(live: KubeObject) -> list[str]:
    labels, annotations = live.labels, live.annotations
    found = [f"{what} {value}" for label, what in _LABELS.items() if (value := labels.get(label))]
    if tracking := annotations.get("argocd.argoproj.io/tracking-id"):
        found.append(f"the Argo CD application {tracking.partition(':')[0]}")
    if release := annotations.get("meta.helm.sh/release-name"):
        found.append(f"the Helm release {release}")
    elif (manager := labels.get("app.kubernetes.io/managed-by")) and manager.lower() not in _PEOPLE:
        found.append(manager)
    if "objectset.rio.cattle.io/id" in annotations:
        found.append("Rancher Fleet")
    if annotations.get("configmanagement.gke.io/managed") == "enabled":
        found.append("Config Sync")
    writers = [text_at(entry, "manager") for entry in objects_at(live.body, "metadata", "managedFields")]
    by_field = [_FIELD_MANAGERS[writer] for writer in writers if writer in _FIELD_MANAGERS]
    return list(dict.fromkeys(found + [name for name in by_field if not any(name in each for each in found)]))


async def autoscaler_warnings(
    workload: KubeObject, changed: Sequence[FieldPath], scope: ResourceScope, call: CallContext
) -> list[str]:
    """Warn about autoscalers of the workload that set a field which the change sets, too."""
    found: list[str] = []
    for scaler in _SCALERS:
        if any(path[0] == ".spec" and scaler.field in path for path in changed):
            found += await _scaler_warnings(scaler, workload, scope, call)
    return found


async def _scaler_warnings(scaler: _Scaler, workload: KubeObject, scope: ResourceScope, call: CallContext) -> list[str]:
    try:
        scalers = await resolve_scope(scope.cluster, scaler.kind, scope.namespace)
        path = scalers.resource.collection_path(scalers.namespace)
        response = await scope.cluster.client.get(path, call.identity, limit="500")
    except InvalidArguments:
        return []  # the cluster has no such kind
    except ToolFailure as error:
        return [f"whether an autoscaler sets {scaler.what} of {workload} is unknown: {error.message}"]
    found = [
        f"autoscaler {text_at(item, 'metadata', 'name')} sets {scaler.what} of {workload}{_bounds(item)} and will set "
        "the value back"
        for item in objects_at(response, "items")
        if dig(item, "spec", scaler.reference, "kind") == workload.kind
        and dig(item, "spec", scaler.reference, "name") == workload.name
    ]
    if not found and text_at(response, "metadata", "continue"):
        return [f"whether an autoscaler sets {scaler.what} of {workload} is unknown: there are more than 500 of them"]
    return found


def _bounds(scaler: object) -> str:
    body = scaler if isinstance(scaler, dict) else {}
    most = number_at(body, "spec", "maxReplicas")
    return "" if most is None else f", between {number_at(body, 'spec', 'minReplicas') or 1} and {most},"
