"""What a person should know before approving, beyond the diff."""

from skyflo_tools.jsontypes import text_at
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.plan import Risk, Target

_SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")
_FAR_REACHING = frozenset(
    {
        "Namespace",
        "Node",
        "PersistentVolume",
        "StorageClass",
        "CustomResourceDefinition",
        "APIService",
        "ClusterRole",
        "ClusterRoleBinding",
        "Role",
        "RoleBinding",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
        "MutatingAdmissionPolicy",
        "PriorityClass",
        "NetworkPolicy",
    }
)


def raised(risk: Risk, target: Target) -> Risk:
    """The risk, higher where the kind or the namespace reaches far."""
    if target.resource.kind in _FAR_REACHING:
        return risk.at_least("high", f"a {target.resource.kind} affects more than itself")
    if target.namespace in _SYSTEM_NAMESPACES:
        return risk.at_least("high", f"{target.namespace} is the cluster's own namespace")
    return risk


def cautions(live: KubeObject) -> list[str]:
    """Who else manages the object and will put it back."""
    found = [f"{live} is managed by {manager}, which may put it back" for manager in _managers(live)]
    controller = next((owner for owner in live.owners if owner.get("controller") is True), None)
    if controller is not None:
        owner = f"{text_at(controller, 'kind').lower()}/{text_at(controller, 'name')}"
        found.append(f"{live} belongs to {owner}, which may put it back: change that instead")
    return found


def _managers(live: KubeObject) -> list[str]:
    labels, annotations = live.labels, live.annotations
    found = []
    if release := annotations.get("meta.helm.sh/release-name"):
        found.append(f"the Helm release {release}")
    elif labels.get("app.kubernetes.io/managed-by") == "Helm":
        found.append("Helm")
    if tracking := annotations.get("argocd.argoproj.io/tracking-id"):
        found.append(f"the Argo CD application {tracking.partition(':')[0]}")
    elif application := labels.get("argocd.argoproj.io/instance"):
        found.append(f"the Argo CD application {application}")
    if kustomization := labels.get("kustomize.toolkit.fluxcd.io/name"):
        found.append(f"the Flux kustomization {kustomization}")
    if release := labels.get("helm.toolkit.fluxcd.io/name"):
        found.append(f"the Flux Helm release {release}")
    return found
