"""Rate a change by the kind and the namespace of its object."""

from collections.abc import Iterator

from skyflo_tools.operations import Target
from skyflo_tools.risk import Risk

_SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")
_WIDE_IMPACT_KINDS = frozenset(
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
        "MutatingAdmissionPolicyBinding",
        "PriorityClass",
        "NetworkPolicy",
    }
)


def risks_of_place(target: Target) -> Iterator[Risk]:
    """Return a high risk for kinds and namespaces with a wide impact."""
    if target.resource.kind in _WIDE_IMPACT_KINDS:
        yield Risk(level="high", reason=f"a {target.resource.kind} affects other objects")
    elif target.namespace in _SYSTEM_NAMESPACES:
        yield Risk(level="high", reason=f"{target.namespace} is a system namespace")
