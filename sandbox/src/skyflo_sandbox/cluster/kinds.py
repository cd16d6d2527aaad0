"""The kinds that the sandbox serves, with the data that discovery shows."""

from dataclasses import dataclass

__all__ = ["ALL", "Kind", "find_kind"]


@dataclass(frozen=True)
class Kind:
    """One kind.

    `stored` is false for read-only kinds: the CustomResourceDefinition, and kinds whose lists are always empty and that
    exist because tools list them. Creating one fails with "not in the sandbox".
    """

    group: str
    version: str
    kind: str
    plural: str
    singular: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    stored: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The name in error messages, for example `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether the kind is defined by a CustomResourceDefinition."""
        return self.group == "shop.example.com"

    @property
    def has_generation(self) -> bool:
        """Whether the server counts changes of the spec in `metadata.generation`."""
        return self.kind in ("Deployment", "EndpointSlice", "FeatureFlag", "Pod", "ReplicaSet")


NAMESPACE = Kind("", "v1", "Namespace", "namespaces", "namespace", False, ("ns",), ("status",))
NODE = Kind("", "v1", "Node", "nodes", "node", False, ("no",), ("status",))
POD = Kind("", "v1", "Pod", "pods", "pod", True, ("po",), ("status", "log"))
SERVICE = Kind("", "v1", "Service", "services", "service", True, ("svc",), ("status",))
CONFIG_MAP = Kind("", "v1", "ConfigMap", "configmaps", "configmap", True, ("cm",))
SECRET = Kind("", "v1", "Secret", "secrets", "secret")
EVENT = Kind("", "v1", "Event", "events", "event", True, ("ev",))
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments", "deployment", True, ("deploy",), ("status", "scale"))
REPLICA_SET = Kind("apps", "v1", "ReplicaSet", "replicasets", "replicaset", True, ("rs",), ("status", "scale"))
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", "endpointslice")
FEATURE_FLAG = Kind("shop.example.com", "v1", "FeatureFlag", "featureflags", "featureflag", True, ("ff",))
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    "customresourcedefinition",
    False,
    ("crd", "crds"),
    stored=False,
)

_ALWAYS_EMPTY = (
    Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim", True, ("pvc",)),
    Kind("apps", "v1", "StatefulSet", "statefulsets", "statefulset", True, ("sts",)),
    Kind("apps", "v1", "DaemonSet", "daemonsets", "daemonset", True, ("ds",)),
    Kind(
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        "horizontalpodautoscaler",
        True,
        ("hpa",),
    ),
    Kind("batch", "v1", "Job", "jobs", "job"),
    Kind("batch", "v1", "CronJob", "cronjobs", "cronjob", True, ("cj",)),
    Kind("networking.k8s.io", "v1", "Ingress", "ingresses", "ingress", True, ("ing",)),
    Kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "poddisruptionbudget", True, ("pdb",)),
)
_EMPTY_KINDS = tuple(Kind(**{**each.__dict__, "stored": False}) for each in _ALWAYS_EMPTY)

ALL: tuple[Kind, ...] = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    CONFIG_MAP,
    SECRET,
    EVENT,
    DEPLOYMENT,
    REPLICA_SET,
    ENDPOINT_SLICE,
    FEATURE_FLAG,
    CUSTOM_RESOURCE_DEFINITION,
    *_EMPTY_KINDS,
)


def find_kind(group: str, version: str, plural: str) -> Kind | None:
    """Find the kind of a resource path."""
    return next((k for k in ALL if (k.group, k.version, k.plural) == (group, version, plural)), None)
