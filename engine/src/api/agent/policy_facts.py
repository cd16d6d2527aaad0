"""Derive a call's target objects and verb from its arguments or preview. Uncertain facts count as unknown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from src.api.schemas.base import Json, JsonObject

__all__ = ["OWN_SERVER", "OWN_TOOLS", "Target", "expand_kinds", "targets_in_arguments", "targets_of_objects", "verb_of"]

OWN_SERVER = "skyflo"
"""Name of our own tool server. Arguments are interpreted only for its tools."""


@dataclass(frozen=True, slots=True)
class Target:
    """An object; None means unknown. With several namespaces it may be in any of them; "" means cluster-wide."""

    cluster: str | None = None
    kind: str | None = None
    namespaces: tuple[str, ...] | None = None


ArgumentShape = Literal[
    "named", "pod", "node", "event", "secret", "job", "manifests", "nothing", "rollout", "analysisrun", "experiment"
]

OWN_TOOLS: dict[str, tuple[str, ArgumentShape]] = {
    "k8s_list_clusters": ("get", "nothing"),
    "k8s_can_i": ("get", "named"),
    "k8s_get": ("get", "named"),
    "k8s_describe": ("get", "named"),
    "k8s_events": ("get", "event"),
    "k8s_logs": ("logs", "pod"),
    "k8s_rollout_status": ("get", "named"),
    "k8s_rollout_history": ("get", "named"),
    "k8s_wait": ("get", "named"),
    "k8s_top_pods": ("get", "pod"),
    "k8s_top_nodes": ("get", "node"),
    "k8s_diff": ("get", "manifests"),
    "k8s_api_resources": ("get", "nothing"),
    "k8s_explain": ("get", "nothing"),
    "k8s_cluster_info": ("get", "node"),
    "wait_for_x_seconds": ("get", "nothing"),
    "k8s_scale": ("scale", "named"),
    "k8s_apply": ("apply", "manifests"),
    "k8s_patch": ("patch", "named"),
    "k8s_rollout_restart": ("restart", "named"),
    "k8s_rollout_undo": ("patch", "named"),
    "k8s_rollout_pause": ("patch", "named"),
    "k8s_rollout_resume": ("patch", "named"),
    "k8s_set_image": ("patch", "named"),
    "k8s_set_env": ("patch", "named"),
    "k8s_set_resources": ("patch", "named"),
    "k8s_label": ("patch", "named"),
    "k8s_annotate": ("patch", "named"),
    "k8s_cordon": ("patch", "node"),
    "k8s_uncordon": ("patch", "node"),
    "k8s_drain": ("drain", "node"),
    "k8s_create_job": ("create", "job"),
    "k8s_run_pod": ("create", "pod"),
    "k8s_exec": ("exec", "pod"),
    "k8s_delete": ("delete", "named"),
    "helm_list_releases": ("get", "secret"),
    "helm_status": ("get", "secret"),
    "helm_history": ("get", "secret"),
    "helm_get_values": ("get", "secret"),
    "helm_get_manifest": ("get", "secret"),
    "helm_diff": ("get", "secret"),
    "helm_template": ("get", "nothing"),
    "helm_show_values": ("get", "nothing"),
    "helm_search_repo": ("get", "nothing"),
    "helm_repo_list": ("get", "nothing"),
    "helm_install": ("apply", "manifests"),
    "helm_upgrade": ("apply", "manifests"),
    "helm_rollback": ("apply", "manifests"),
    "helm_uninstall": ("delete", "manifests"),
    "helm_repo_add": ("apply", "manifests"),
    "helm_repo_update": ("apply", "manifests"),
    "helm_repo_remove": ("delete", "manifests"),
    "argo_list_rollouts": ("get", "rollout"),
    "argo_status": ("get", "rollout"),
    "argo_describe": ("get", "rollout"),
    "argo_history": ("get", "rollout"),
    "argo_list_analysisruns": ("get", "analysisrun"),
    "argo_list_experiments": ("get", "experiment"),
    "argo_promote": ("patch", "rollout"),
    "argo_pause_rollout": ("patch", "rollout"),
    "argo_resume_rollout": ("patch", "rollout"),
    "argo_abort_rollout": ("patch", "rollout"),
    "argo_retry": ("patch", "rollout"),
    "argo_set_image": ("patch", "rollout"),
    "argo_rollout_restart": ("restart", "rollout"),
    "argo_undo": ("patch", "rollout"),
    "prometheus_query": ("get", "nothing"),
    "prometheus_query_range": ("get", "nothing"),
    "prometheus_series": ("get", "nothing"),
    "prometheus_alerts": ("get", "nothing"),
    "prometheus_rules": ("get", "nothing"),
    "prometheus_targets": ("get", "nothing"),
    "jenkins_whoami": ("get", "nothing"),
    "jenkins_get_jobs": ("get", "nothing"),
    "jenkins_get_job": ("get", "nothing"),
    "jenkins_get_job_parameters": ("get", "nothing"),
    "jenkins_get_job_scm": ("get", "nothing"),
    "jenkins_get_queue": ("get", "nothing"),
    "jenkins_get_last_builds": ("get", "nothing"),
    "jenkins_get_build": ("get", "nothing"),
    "jenkins_get_build_log": ("logs", "nothing"),
    "jenkins_get_build_scm": ("get", "nothing"),
    "jenkins_get_build_changesets": ("get", "nothing"),
    "jenkins_trigger_build": ("create", "manifests"),
    "jenkins_update_build": ("patch", "manifests"),
    "jenkins_stop_build": ("delete", "manifests"),
}
"""The verb of each of our tools, and what its arguments name. Tools that are missing here count as unknown.

Helm's releases are Secrets, and its changes name their objects only in their previews. A build may change anything.
"""

_SHAPE_KINDS: dict[str, str] = {"analysisrun": "AnalysisRun"}

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
"""Spelling of a Kind. Words that end in s are excluded, since they may be plurals of another Kind."""


def _plural(kind: str) -> str:
    word = kind.lower()
    if word.endswith("s"):
        return f"{word}es"
    return f"{word[:-1]}ies" if word.endswith(("cy", "ty")) else f"{word}s"


def _kinds_by_word(table: str) -> dict[str, str]:
    """Map every spelling of a kind, in lower case, to the kind."""
    found: dict[str, str] = {}
    for entry in table.split():
        kind, _, short = entry.partition(";")
        for word in (kind.lower(), _plural(kind), *filter(None, short.split(","))):
            found[word] = kind
    return found


_SCOPES = {
    **dict.fromkeys(_kinds_by_word(_NAMESPACED).values(), True),
    **dict.fromkeys(_kinds_by_word(_CLUSTER_WIDE).values(), False),
}
_KINDS = {**_kinds_by_word(_NAMESPACED), **_kinds_by_word(_CLUSTER_WIDE)}


def expand_kinds(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return the patterns, plus the kinds that plurals and short names stand for (`secrets`, `deploy`)."""
    return (*patterns, *(_KINDS[word.lower()] for word in patterns if word.lower() in _KINDS))


def verb_of(server: str, tool: str) -> str | None:
    """Return the specific verb of a call, or None if unknown."""
    return OWN_TOOLS[tool][0] if server == OWN_SERVER and tool in OWN_TOOLS else None


def targets_of_objects(objects: Sequence[Json]) -> tuple[Target, ...] | None:
    """Return the targets that a preview named, as stored with the approval; None if it named none."""
    return tuple(_parse_target(each) for each in objects) or None


def _parse_target(stored: Json) -> Target:
    parts = [unquote(part) for part in str(stored).split("/")]
    if len(parts) != 5:
        return Target()
    cluster, _, kind, namespace, name = parts
    return Target(cluster or None, kind or None, _namespaces(kind, namespace, name))


def targets_in_arguments(server: str, tool: str, args: JsonObject) -> tuple[Target, ...] | None:
    """Return the targets that the arguments name; None for tools of other servers."""
    if server != OWN_SERVER or tool not in OWN_TOOLS:
        return None
    shape = OWN_TOOLS[tool][1]
    if shape == "nothing":
        return ()
    cluster = _text(args, "cluster")
    if shape == "manifests":
        return (Target(cluster),)
    if shape == "named":
        kind, scoped = _resolve_kind(_text(args, "kind") or "")
    else:
        kind, scoped = _SHAPE_KINDS.get(shape, shape.capitalize()), shape != "node"
    return (Target(cluster, kind, _namespaces_in_arguments(args, kind, scoped)),)


def _namespaces_in_arguments(args: JsonObject, kind: str | None, scoped: bool | None) -> tuple[str, ...] | None:
    """Return the possible namespaces; None if the cluster's context decides, or if all are meant."""
    given = _text(args, "namespace")
    if scoped is False:
        name = _text(args, "name")
        return None if kind == "Namespace" and name is None else _namespaces(kind or "", "", name or "")
    if given is None or args.get("all_namespaces") is True:
        return None
    return (given,) if scoped else ("", given)


def _namespaces(kind: str, namespace: str, name: str) -> tuple[str, ...]:
    """Return the namespaces that an object affects. Changing a Namespace affects everything in it."""
    return ("", name) if kind == "Namespace" else (namespace,)


def _resolve_kind(word: str) -> tuple[str | None, bool | None]:
    """Return the kind that a word means, and whether it is namespaced; None for what is unknown."""
    version, slash, last = word.rpartition("/")
    group = version.rpartition("/")[0] if slash else word.partition(".")[2]
    name = last if slash else word.partition(".")[0]
    built_in = "." not in group or group.endswith(".k8s.io")
    if built_in and name.lower() in _KINDS:
        kind = _KINDS[name.lower()]
        return kind, _SCOPES[kind]
    return (name, None) if slash and _CRD_KIND.fullmatch(name) else (None, None)


def _text(args: JsonObject, name: str) -> str | None:
    value = args.get(name)
    return value if isinstance(value, str) and value else None
