"""Row cells of each kind."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, number_at, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.tables import pods
from skyflo_sandbox.cluster.tables.durations import format_age

__all__ = ["row", "selector_text"]

_NONE = "<none>"


def row(kind: Kind, body: JsonObject, now: float) -> JsonObject:
    """Build the cells in column order, and the row conditions. `now` is in seconds since the epoch."""
    cells: list[JsonValue] = _CELL_BUILDERS.get(kind.kind, _default_cells)(body, now)
    conditions = pods.pod_row_conditions(body) if kind.kind == "Pod" else []
    return {"cells": cells, **({"conditions": conditions} if conditions else {})}


def _name(body: JsonObject) -> str:
    return text_at(body, "metadata", "name")


def _age(body: JsonObject, now: float) -> str:
    return format_age(text_at(body, "metadata", "creationTimestamp"), now)


def _default_cells(body: JsonObject, now: float) -> list[JsonValue]:
    return [_name(body), _age(body, now)]


def _definition_cells(body: JsonObject, _: float) -> list[JsonValue]:
    return [_name(body), text_at(body, "metadata", "creationTimestamp")]


def _namespace_cells(body: JsonObject, now: float) -> list[JsonValue]:
    return [_name(body), text_at(body, "status", "phase"), _age(body, now)]


def _node_cells(body: JsonObject, now: float) -> list[JsonValue]:
    info = object_at(body, "status", "nodeInfo")
    addresses = {text_at(each, "type"): text_at(each, "address") for each in objects_at(body, "status", "addresses")}
    kernel, machine = text_at(info, "kernelVersion"), text_at(info, "architecture")
    return [
        _name(body),
        _node_status(body),
        _roles(body),
        _age(body, now),
        text_at(info, "kubeletVersion"),
        addresses.get("InternalIP", _NONE),
        addresses.get("ExternalIP", _NONE),
        text_at(info, "osImage") or "<unknown>",
        f"{kernel} ({machine})" if machine else kernel or "<unknown>",
        text_at(info, "containerRuntimeVersion") or "<unknown>",
    ]


def _node_status(body: JsonObject) -> str:
    ready = [each for each in objects_at(body, "status", "conditions") if text_at(each, "type") == "Ready"]
    status = ("Ready" if text_at(ready[0], "status") == "True" else "NotReady") if ready else "Unknown"
    return status + (",SchedulingDisabled" if dig(body, "spec", "unschedulable") is True else "")


def _roles(body: JsonObject) -> str:
    prefix, labels = "node-role.kubernetes.io/", strings_at(body, "metadata", "labels")
    roles = {label.removeprefix(prefix) for label in labels if label.startswith(prefix)}
    return ",".join(sorted(role for role in roles if role)) or _NONE


def _service_cells(body: JsonObject, now: float) -> list[JsonValue]:
    spec = object_at(body, "spec")
    return [
        _name(body),
        text_at(spec, "type"),
        text_at(spec, "clusterIP") or _NONE,
        _external_addresses(body),
        ",".join(_format_service_port(port) for port in objects_at(spec, "ports")) or _NONE,
        _age(body, now),
        _format_labels(strings_at(spec, "selector")),
    ]


def _external_addresses(body: JsonObject) -> str:
    type_ = text_at(body, "spec", "type")
    if type_ == "ExternalName":
        return text_at(body, "spec", "externalName")
    own = dig(body, "spec", "externalIPs")
    addresses = [str(each) for each in own] if isinstance(own, list) else []
    balanced = objects_at(body, "status", "loadBalancer", "ingress") if type_ == "LoadBalancer" else []
    addresses = [text_at(each, "ip") or text_at(each, "hostname") for each in balanced] + addresses
    return ",".join(addresses) or ("<pending>" if type_ == "LoadBalancer" else _NONE)


def _format_service_port(port: JsonObject) -> str:
    outside = f":{port['nodePort']}" if port.get("nodePort") else ""
    return f"{number_at(port, 'port')}{outside}/{text_at(port, 'protocol')}"


def _format_labels(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or _NONE


def selector_text(spec: JsonObject) -> str:
    """Format the label selector of a workload's spec as kubectl does."""
    expressions = [_format_expression(each) for each in objects_at(spec, "selector", "matchExpressions")]
    labels = [f"{key}={value}" for key, value in strings_at(spec, "selector", "matchLabels").items()]
    return ",".join(sorted([*labels, *expressions])) or _NONE


def _format_expression(each: JsonObject) -> str:
    key, operator, values = text_at(each, "key"), text_at(each, "operator"), each.get("values")
    listed = ",".join(sorted(str(value) for value in values)) if isinstance(values, list) else ""
    texts = {"In": f"{key} in ({listed})", "NotIn": f"{key} notin ({listed})", "Exists": key, "DoesNotExist": f"!{key}"}
    return texts.get(operator, key)


def _count_data(body: JsonObject) -> int:
    return len(object_at(body, "data")) + len(object_at(body, "binaryData"))


def _config_map_cells(body: JsonObject, now: float) -> list[JsonValue]:
    return [_name(body), _count_data(body), _age(body, now)]


def _secret_cells(body: JsonObject, now: float) -> list[JsonValue]:
    return [_name(body), text_at(body, "type"), _count_data(body), _age(body, now)]


def _event_cells(body: JsonObject, now: float) -> list[JsonValue]:
    about, moment = object_at(body, "involvedObject"), text_at(body, "eventTime")
    first = format_age(text_at(body, "firstTimestamp") or moment, now)
    last = text_at(body, "series", "lastObservedTime") or text_at(body, "lastTimestamp")
    kind, name = text_at(about, "kind").lower(), text_at(about, "name")
    source = [
        text_at(body, "source", "component") or text_at(body, "reportingComponent"),
        text_at(body, "source", "host"),
    ]
    return [
        format_age(last, now) if last else first,
        text_at(body, "type"),
        text_at(body, "reason"),
        f"{kind}/{name}" if name else kind,
        text_at(about, "fieldPath"),
        ", ".join(part for part in source if part),
        text_at(body, "message").strip(),
        first,
        number_at(body, "series", "count") or number_at(body, "count") or 1,
        _name(body),
    ]


def _template_cells(body: JsonObject) -> list[JsonValue]:
    containers = objects_at(body, "spec", "template", "spec", "containers")
    names = ",".join(text_at(each, "name") for each in containers)
    images = ",".join(text_at(each, "image") for each in containers)
    return [names, images, selector_text(object_at(body, "spec"))]


def _deployment_cells(body: JsonObject, now: float) -> list[JsonValue]:
    status = object_at(body, "status")
    return [
        _name(body),
        f"{number_at(status, 'readyReplicas') or 0}/{number_at(body, 'spec', 'replicas') or 0}",
        number_at(status, "updatedReplicas") or 0,
        number_at(status, "availableReplicas") or 0,
        _age(body, now),
        *_template_cells(body),
    ]


def _replica_set_cells(body: JsonObject, now: float) -> list[JsonValue]:
    return [
        _name(body),
        number_at(body, "spec", "replicas") or 0,
        number_at(body, "status", "replicas") or 0,
        number_at(body, "status", "readyReplicas") or 0,
        _age(body, now),
        *_template_cells(body),
    ]


def _endpoint_slice_cells(body: JsonObject, now: float) -> list[JsonValue]:
    ports = [_format_endpoint_port(port) for port in objects_at(body, "ports")]
    addresses: list[str] = []
    for endpoint in objects_at(body, "endpoints"):
        found = endpoint.get("addresses")
        addresses += [str(each) for each in found] if isinstance(found, list) else []
    return [
        _name(body),
        text_at(body, "addressType"),
        _format_first_three(ports),
        _format_first_three(addresses),
        _age(body, now),
    ]


def _format_endpoint_port(port: JsonObject) -> str:
    number = number_at(port, "port")
    return str(number) if number is not None else text_at(port, "name") or "*"


def _format_first_three(texts: list[str]) -> str:
    """Join at most three texts, and append how many more there are."""
    if not texts:
        return "<unset>"
    return ",".join(texts[:3]) + (f" + {len(texts) - 3} more..." if len(texts) > 3 else "")


_CELL_BUILDERS: Mapping[str, Callable[[JsonObject, float], list[JsonValue]]] = MappingProxyType(
    {
        "Namespace": _namespace_cells,
        "Node": _node_cells,
        "Pod": pods.pod_cells,
        "Service": _service_cells,
        "ConfigMap": _config_map_cells,
        "Secret": _secret_cells,
        "Event": _event_cells,
        "Deployment": _deployment_cells,
        "ReplicaSet": _replica_set_cells,
        "EndpointSlice": _endpoint_slice_cells,
        "CustomResourceDefinition": _definition_cells,
    }
)
