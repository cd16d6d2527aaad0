"""The kinds that the sandbox knows, as an API server's discovery would tell of them."""

from dataclasses import dataclass

__all__ = ["ALL", "Kind", "find"]


@dataclass(frozen=True)
class Kind:
    """One kind. `stored` is false for those that are only read: the definition of the custom kind, and lists that are
    always empty, for tools look for them in passing. Making one is "not in the sandbox"."""

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
        """As error messages name it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def is_custom(self) -> bool:
        """Whether a CustomResourceDefinition taught it to the cluster."""
        return self.group == "shop.example.com"

    @property
    def has_generation(self) -> bool:
        """Whether changes of its spec are counted."""
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

_EMPTY = (
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
_EMPTY_KINDS = tuple(Kind(**{**each.__dict__, "stored": False}) for each in _EMPTY)

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


def find(group: str, version: str, plural: str) -> Kind | None:
    """The kind behind a path."""
    return next((k for k in ALL if (k.group, k.version, k.plural) == (group, version, plural)), None)
