"""Fill in the defaults that an API server sets for omitted fields."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from types import MappingProxyType

import orjson

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, text_at
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.normalize import normalize_body
from skyflo_sandbox.cluster.pod_defaults import default_pod, default_template

__all__ = ["apply_defaults", "drop_server_added_fields"]

_SERVER_ADDED_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"),
        "Pod": ("preemptionPolicy", "priority", "serviceAccount", "serviceAccountName", "tolerations"),
        "Namespace": ("finalizers",),
    }
)


def apply_defaults(kind: Kind, body: JsonObject) -> JsonObject:
    """Return a copy of the body with the defaults of its kind, without nulls and empty lists."""
    result: JsonObject = {"apiVersion": kind.api_version, "kind": kind.kind}
    result |= normalize_body(orjson.loads(orjson.dumps(body)), keep_nulls=kind.is_custom)
    result |= {"apiVersion": kind.api_version, "kind": kind.kind}
    result.setdefault("metadata", {})
    if apply := _DEFAULTS.get(kind.kind):
        apply(result)
    return result


def drop_server_added_fields(kind: Kind, given: JsonObject, full: JsonObject) -> JsonObject:
    """Drop the fields of a new object that the server adds after defaulting, because no manager owns them.

    `given` is the body that the client sent.
    """
    dropped = [name for name in _SERVER_ADDED_FIELDS.get(kind.kind, ()) if name not in object_at(given, "spec")]
    spec = {name: value for name, value in object_at(full, "spec").items() if name not in dropped}
    kept = {name: value for name, value in full.items() if name != "status" or name in given}
    return kept | ({"spec": spec} if "spec" in full else {})


def _ensure_spec(body: JsonObject) -> JsonObject:
    return object_at({"spec": body.setdefault("spec", {})}, "spec")


def _set_defaults(target: JsonObject, values: JsonObject) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _default_namespace(body: JsonObject) -> None:
    labels = object_at(body, "metadata").setdefault("labels", {})
    if isinstance(labels, dict) and (name := text_at(body, "metadata", "name")):
        labels["kubernetes.io/metadata.name"] = name
    _set_defaults(_ensure_spec(body), {"finalizers": ["kubernetes"]})
    body.setdefault("status", {"phase": "Active"})


def _default_deployment(body: JsonObject) -> None:
    spec = _ensure_spec(body)
    _set_defaults(spec, {"replicas": 1, "strategy": {}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = object_at(spec, "strategy")
    _set_defaults(strategy, {"type": "RollingUpdate"})
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        if isinstance(rolling, dict):
            _set_defaults(rolling, {"maxUnavailable": "25%", "maxSurge": "25%"})
    default_template(spec)
    body.setdefault("status", {})


def _default_replica_set(body: JsonObject) -> None:
    spec = _ensure_spec(body)
    _set_defaults(spec, {"replicas": 1})
    default_template(spec)
    body.setdefault("status", {"replicas": 0})


def _default_service(body: JsonObject) -> None:
    spec = _ensure_spec(body)
    _set_defaults(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "ClientIP":
        _set_defaults(spec, {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10_800}}})
    for port in objects_at(spec, "ports"):
        _set_defaults(port, {"protocol": "TCP"})
        if not port.get("targetPort") and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] != "ExternalName":
        _set_defaults(
            spec, {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster"}
        )
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _set_defaults(spec, {"externalTrafficPolicy": "Cluster"})
    if spec["type"] == "LoadBalancer":
        _set_defaults(spec, {"allocateLoadBalancerNodePorts": True})
    body.setdefault("status", {"loadBalancer": {}})


def _default_secret(body: JsonObject) -> None:
    if isinstance(plain := body.pop("stringData", None), dict):
        data = body.setdefault("data", {})
        if isinstance(data, dict):
            data |= {key: b64encode(str(value).encode()).decode() for key, value in plain.items()}
    _set_defaults(body, {"type": "Opaque"})


def _default_event(body: JsonObject) -> None:
    _set_defaults(body, {"source": {}, "eventTime": None, "reportingComponent": "", "reportingInstance": ""})


def _default_endpoint_slice(body: JsonObject) -> None:
    _set_defaults(body, {"endpoints": []})
    for port in objects_at(body, "ports"):
        _set_defaults(port, {"name": "", "protocol": "TCP"})


_DEFAULTS: Mapping[str, Callable[[JsonObject], None]] = MappingProxyType(
    {
        "Namespace": _default_namespace,
        "Pod": default_pod,
        "Service": _default_service,
        "Secret": _default_secret,
        "Event": _default_event,
        "Deployment": _default_deployment,
        "ReplicaSet": _default_replica_set,
        "EndpointSlice": _default_endpoint_slice,
    }
)
