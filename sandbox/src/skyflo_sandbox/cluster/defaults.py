"""The values that an API server fills in where a body leaves them out."""

from base64 import b64encode
from collections.abc import Callable, Mapping
from types import MappingProxyType

import orjson

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.poddefaults import default_pod, default_template
from skyflo_sandbox.cluster.tidying import tidied
from skyflo_sandbox.jsontypes import JsonObject, object_at, objects_at, text_at

__all__ = ["authored", "defaulted"]

_LATE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Service": ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"),
        "Pod": ("preemptionPolicy", "priority", "serviceAccount", "serviceAccountName", "tolerations"),
        "Namespace": ("finalizers",),
    }
)


def defaulted(kind: Kind, body: JsonObject) -> JsonObject:
    """A copy of the body with all defaults of its kind, and without nulls and empty lists."""
    result: JsonObject = {"apiVersion": kind.api_version, "kind": kind.kind}
    result |= tidied(orjson.loads(orjson.dumps(body)), keep_nulls=kind.is_custom)
    result |= {"apiVersion": kind.api_version, "kind": kind.kind}
    result.setdefault("metadata", {})
    if apply := _DEFAULTS.get(kind.kind):
        apply(result)
    return result


def authored(kind: Kind, given: JsonObject, full: JsonObject) -> JsonObject:
    """A new object without what the server adds after the defaults: that is nobody's. `given` is the client's body."""
    dropped = [name for name in _LATE.get(kind.kind, ()) if name not in object_at(given, "spec")]
    spec = {name: value for name, value in object_at(full, "spec").items() if name not in dropped}
    kept = {name: value for name, value in full.items() if name != "status" or name in given}
    return kept | ({"spec": spec} if "spec" in full else {})


def _spec(body: JsonObject) -> JsonObject:
    return object_at({"spec": body.setdefault("spec", {})}, "spec")


def _fill(target: JsonObject, values: JsonObject) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def _namespace(body: JsonObject) -> None:
    labels = object_at(body, "metadata").setdefault("labels", {})
    if isinstance(labels, dict) and (name := text_at(body, "metadata", "name")):
        labels["kubernetes.io/metadata.name"] = name
    _fill(_spec(body), {"finalizers": ["kubernetes"]})
    body.setdefault("status", {"phase": "Active"})


def _deployment(body: JsonObject) -> None:
    spec = _spec(body)
    _fill(spec, {"replicas": 1, "strategy": {}, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600})
    strategy = object_at(spec, "strategy")
    _fill(strategy, {"type": "RollingUpdate"})
    if strategy.get("type") == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        if isinstance(rolling, dict):
            _fill(rolling, {"maxUnavailable": "25%", "maxSurge": "25%"})
    default_template(spec)
    body.setdefault("status", {})


def _replica_set(body: JsonObject) -> None:
    spec = _spec(body)
    _fill(spec, {"replicas": 1})
    default_template(spec)
    body.setdefault("status", {"replicas": 0})


def _service(body: JsonObject) -> None:
    spec = _spec(body)
    _fill(spec, {"sessionAffinity": "None", "type": "ClusterIP"})
    if spec["sessionAffinity"] == "ClientIP":
        _fill(spec, {"sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10_800}}})
    for port in objects_at(spec, "ports"):
        _fill(port, {"protocol": "TCP"})
        if not port.get("targetPort") and "port" in port:
            port["targetPort"] = port["port"]
    if spec["type"] != "ExternalName":
        _fill(spec, {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster"})
    if spec["type"] in ("NodePort", "LoadBalancer"):
        _fill(spec, {"externalTrafficPolicy": "Cluster"})
    if spec["type"] == "LoadBalancer":
        _fill(spec, {"allocateLoadBalancerNodePorts": True})
    body.setdefault("status", {"loadBalancer": {}})


def _secret(body: JsonObject) -> None:
    if isinstance(plain := body.pop("stringData", None), dict):
        data = body.setdefault("data", {})
        if isinstance(data, dict):
            data |= {key: b64encode(str(value).encode()).decode() for key, value in plain.items()}
    _fill(body, {"type": "Opaque"})


def _event(body: JsonObject) -> None:
    _fill(body, {"source": {}, "eventTime": None, "reportingComponent": "", "reportingInstance": ""})


def _endpoint_slice(body: JsonObject) -> None:
    _fill(body, {"endpoints": []})
    for port in objects_at(body, "ports"):
        _fill(port, {"name": "", "protocol": "TCP"})


_DEFAULTS: Mapping[str, Callable[[JsonObject], None]] = MappingProxyType(
    {
        "Namespace": _namespace,
        "Pod": default_pod,
        "Service": _service,
        "Secret": _secret,
        "Event": _event,
        "Deployment": _deployment,
        "ReplicaSet": _replica_set,
        "EndpointSlice": _endpoint_slice,
    }
)
