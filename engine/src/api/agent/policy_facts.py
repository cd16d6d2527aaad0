"""What a call is about, as far as its arguments or its preview tell. What they don't tell for sure is not known."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from src.api.schemas.base import Json, JsonObject

__all__ = ["OURS", "OUR_TOOLS", "Target", "kinds_named", "targets_in_arguments", "targets_of_objects", "verb_of"]

OURS = "skyflo"
"""Our own tool server: of its tools alone it is known what their arguments mean."""


@dataclass(frozen=True, slots=True)
class Target:
    """An object. None: not known. Several namespaces: it may be in any of them; "" is for what has none."""

    cluster: str | None = None
    kind: str | None = None
    namespaces: tuple[str, ...] | None = None


About = Literal["named", "pod", "event", "manifests", "nothing"]

OUR_TOOLS: dict[str, tuple[str, About]] = {
    "k8s_list_clusters": ("get", "nothing"),
    "k8s_can_i": ("get", "named"),
    "k8s_get": ("get", "named"),
    "k8s_describe": ("get", "named"),
    "k8s_events": ("get", "event"),
    "k8s_logs": ("logs", "pod"),
    "k8s_rollout_status": ("get", "named"),
    "k8s_scale": ("scale", "named"),
    "k8s_apply": ("apply", "manifests"),
    "k8s_patch": ("patch", "named"),
    "k8s_rollout_restart": ("restart", "named"),
    "k8s_delete": ("delete", "named"),
}
"""The verb of each of our tools, and what its arguments name. One that is missing here is simply not known."""

_NAMESPACED = """
    Binding;bindings ConfigMap;cm Endpoints;ep,endpoints Event;ev LimitRange;limits PersistentVolumeClaim;pvc Pod;po
    PodTemplate; ReplicationController;rc ResourceQuota;quota Secret; ServiceAccount;sa Service;svc ControllerRevision;
    DaemonSet;ds Deployment;deploy ReplicaSet;rs StatefulSet;sts HorizontalPodAutoscaler;hpa CronJob;cj Job;
    EndpointSlice; Ingress;ing NetworkPolicy;netpol PodDisruptionBudget;pdb RoleBinding; Role; Lease;
    CSIStorageCapacity;csistoragecapacities ResourceClaim; ResourceClaimTemplate; LocalSubjectAccessReview;
"""
_CLUSTER_WIDE = """
    Namespace;ns Node;no PersistentVolume;pv ComponentStatus;cs ClusterRole; ClusterRoleBinding; StorageClass;sc
    VolumeAttachment; CSIDriver; CSINode; IngressClass; PriorityClass;pc RuntimeClass; CustomResourceDefinition;crd,crds
    APIService; MutatingWebhookConfiguration; ValidatingWebhookConfiguration; ValidatingAdmissionPolicy;
    ValidatingAdmissionPolicyBinding; CertificateSigningRequest;csr FlowSchema; PriorityLevelConfiguration; IPAddress;ip
    ServiceCIDR; DeviceClass; ResourceSlice; VolumeAttributesClass;vac TokenReview; SubjectAccessReview;
"""
_CRD_KIND = re.compile(r"[A-Z][A-Za-z0-9]*[A-RT-Za-rt-z0-9]")
"""How a Kind is written. Not with an s at its end: that may be its plural, and the Kind another word."""


def _plural(kind: str) -> str:
    word = kind.lower()
    if word.endswith("s"):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith(("cy", "ty")) else f"{word}s"


def _words(table: str) -> dict[str, str]:
    """Every word for a kind, in lower case, with the kind."""
    found: dict[str, str] = {}
    for entry in table.split():
        kind, _, short = entry.partition(";")
        for word in (kind.lower(), _plural(kind), *filter(None, short.split(","))):
            found[word] = kind
    return found


_SCOPES = {**dict.fromkeys(_words(_NAMESPACED).values(), True), **dict.fromkeys(_words(_CLUSTER_WIDE).values(), False)}
_KINDS = {**_words(_NAMESPACED), **_words(_CLUSTER_WIDE)}


def kinds_named(patterns: Sequence[str]) -> tuple[str, ...]:
    """A rule's kinds, with those that are meant by a plural or a short name (`secrets`, `deploy`)."""
    return (*patterns, *(_KINDS[word.lower()] for word in patterns if word.lower() in _KINDS))


def verb_of(server: str, tool: str) -> str | None:
    """What the call does beyond reading or changing, where that is known."""
    return OUR_TOOLS[tool][0] if server == OURS and tool in OUR_TOOLS else None


def targets_of_objects(objects: Sequence[Json]) -> tuple[Target, ...] | None:
    """The objects that a preview named, as they are stored with the approval. None where it named none."""
    return tuple(_target(each) for each in objects) or None


def _target(stored: Json) -> Target:
    parts = [unquote(part) for part in str(stored).split("/")]
    if len(parts) != 5:
        return Target()
    cluster, _, kind, namespace, name = parts
    return Target(cluster or None, kind or None, _namespaces(kind, namespace, name))


def targets_in_arguments(server: str, tool: str, args: JsonObject) -> tuple[Target, ...] | None:
    """What a call of ours says that it is about; of others it is not known."""
    if server != OURS or tool not in OUR_TOOLS:
        return None
    about = OUR_TOOLS[tool][1]
    if about == "nothing":
        return ()
    cluster = _text(args, "cluster")
    if about == "manifests":
        return (Target(cluster),)
    if about == "named":
        kind, scoped = _kind(_text(args, "kind") or "")
    else:
        kind, scoped = about.capitalize(), True
    return (Target(cluster, kind, _asked_namespaces(args, kind, scoped)),)


def _asked_namespaces(args: JsonObject, kind: str | None, scoped: bool | None) -> tuple[str, ...] | None:
    """None also where it is left to the cluster's context, or is all of them."""
    given = _text(args, "namespace")
    if scoped is False:
        name = _text(args, "name")
        return None if kind == "Namespace" and name is None else _namespaces(kind or "", "", name or "")
    if given is None or args.get("all_namespaces") is True:
        return None
    return (given,) if scoped else ("", given)


def _namespaces(kind: str, namespace: str, name: str) -> tuple[str, ...]:
    """A Namespace belongs to the cluster, and whoever touches it touches what is in it."""
    return ("", name) if kind == "Namespace" else (namespace,)


def _kind(word: str) -> tuple[str | None, bool | None]:
    """The kind that a word means, and whether its objects are in namespaces."""
    version, slash, last = word.rpartition("/")
    group = version.rpartition("/")[0] if slash else word.partition(".")[2]
    plain = last if slash else word.partition(".")[0]
    built_in = "." not in group or group.endswith(".k8s.io")
    if built_in and plain.lower() in _KINDS:
        kind = _KINDS[plain.lower()]
        return kind, _SCOPES[kind]
    return (plain, None) if slash and _CRD_KIND.fullmatch(plain) else (None, None)


def _text(args: JsonObject, name: str) -> str | None:
    value = args.get(name)
    return value if isinstance(value, str) and value else None
