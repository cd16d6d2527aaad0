"""Validate objects by the rules of their kind that users commonly meet; 422 with one cause per problem."""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, number_at, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.errors import (
    FieldProblem,
    bad_request,
    duplicate_value,
    forbidden_value,
    invalid,
    invalid_value,
    required_value,
    unsupported_value,
)
from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.metadata_validation import label_problems, metadata_problems, name_problems
from skyflo_sandbox.cluster.pod_validation import pod_change_problems, pod_problems, port_problems
from skyflo_sandbox.cluster.type_check import find_type_error

__all__ = ["check_change", "check_object", "check_types"]

_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_CONFIG_KEY_RULE = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    f"'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
_MAX_DATA_BYTES = 1024 * 1024
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def check_types(kind: Kind, body: JsonObject) -> None:
    """Reject values of a wrong JSON type (400)."""
    found = find_type_error(kind, body)
    if not found and kind.kind == "Secret":
        found = _find_base64_error(object_at(body, "data"))
    if found:
        raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {found}')


def check_object(kind: Kind, body: JsonObject) -> None:
    """Reject an object that breaks a rule of its kind. The body has its defaults."""
    problems = [*metadata_problems(kind.kind, body), *_VALIDATORS.get(kind.kind, _no_problems)(body)]
    _raise_if_any(kind, body, problems)


def check_change(kind: Kind, before: JsonObject, after: JsonObject) -> None:
    """Validate a changed object like `check_object`, and reject changes of immutable fields."""
    problems = [*metadata_problems(kind.kind, after), *_VALIDATORS.get(kind.kind, _no_problems)(after)]
    problems += [
        invalid_value(field, dig(after, *field.split(".")), "field is immutable")
        for field in _IMMUTABLE_FIELDS.get(kind.kind, ())
        if dig(before, *field.split(".")) != dig(after, *field.split("."))
    ]
    if kind.kind == "Service":
        problems += _changed_address_problems(before, after)
    if kind.kind == "Pod":
        problems += pod_change_problems(object_at(before, "spec"), object_at(after, "spec"))
    if before.get("immutable") is True:
        problems += [
            forbidden_value(field, "field is immutable when `immutable` is set")
            for field in ("data", "binaryData", "immutable")
            if before.get(field) != after.get(field)
        ]
    _raise_if_any(kind, after, problems)


def _raise_if_any(kind: Kind, body: JsonObject, problems: list[FieldProblem]) -> None:
    if problems:
        raise invalid(kind.kind, kind.group, text_at(body, "metadata", "name"), problems)


def _find_base64_error(data: JsonObject) -> str:
    for value in data.values():
        try:
            b64decode(str(value or "").replace("\n", ""), validate=True)
        except (binascii.Error, ValueError):
            return "illegal base64 data at input byte 0"
    return ""


def _no_problems(_: JsonObject) -> Iterator[FieldProblem]:
    return iter(())


def _workload_problems(body: JsonObject) -> Iterator[FieldProblem]:
    spec = object_at(body, "spec")
    replicas = number_at(spec, "replicas") or 0
    if replicas < 0:
        yield invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
    yield from _selector_problems(spec)
    template = object_at(spec, "template")
    yield from label_problems("spec.template.labels", object_at(template, "metadata", "labels"))
    yield from pod_problems(object_at(template, "spec"), "spec.template.spec")
    policy = text_at(template, "spec", "restartPolicy")
    if policy in ("OnFailure", "Never"):
        yield unsupported_value("spec.template.spec.restartPolicy", policy, ("Always",))


def _selector_problems(spec: JsonObject) -> Iterator[FieldProblem]:
    selector, labels = object_at(spec, "selector"), dig(spec, "template", "metadata", "labels")
    wanted = strings_at(selector, "matchLabels")
    if "selector" not in spec:
        yield required_value("spec.selector")
    elif not wanted and not selector.get("matchExpressions"):
        yield invalid_value("spec.selector", selector, "empty selector is invalid for deployment")
    yield from label_problems("spec.selector.matchLabels", object_at(selector, "matchLabels"))
    expressions = objects_at(selector, "matchExpressions")
    problems = [
        problem
        for index, each in enumerate(expressions)
        for problem in _expression_problems(each, f"spec.selector.matchExpressions[{index}]")
    ]
    yield from problems
    labels_match = bool(selector) and wanted.items() <= (labels.items() if isinstance(labels, dict) else frozenset())
    if not labels_match or not (problems or all(_matches_expression(each, object_at(labels)) for each in expressions)):
        yield invalid_value("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _expression_problems(each: JsonObject, field: str) -> Iterator[FieldProblem]:
    operator, values = text_at(each, "operator"), each.get("values")
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        yield invalid_value(f"{field}.operator", operator, "not a valid selector operator")
    elif operator in ("In", "NotIn") and not values:
        yield required_value(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        yield forbidden_value(f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    yield from label_problems(f"{field}.key", {text_at(each, "key"): ""})


def _matches_expression(each: JsonObject, labels: JsonObject) -> bool:
    operator, value = text_at(each, "operator"), labels.get(text_at(each, "key"))
    values = each.get("values")
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) is (operator == "Exists")
    return (value in values if isinstance(values, list) else False) is (operator == "In")


def _deployment_problems(body: JsonObject) -> Iterator[FieldProblem]:
    yield from _workload_problems(body)
    strategy = object_at(body, "spec", "strategy")
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        yield unsupported_value("spec.strategy", strategy, ("Recreate", "RollingUpdate"))
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        why = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden_value("spec.strategy.rollingUpdate", why)
    rolling = object_at(strategy, "rollingUpdate")
    for field in ("maxUnavailable", "maxSurge"):
        yield from _int_or_percent_problems(f"spec.strategy.rollingUpdate.{field}", rolling.get(field))
    zero = (0, "0%")
    if rolling.get("maxSurge") in zero and rolling.get("maxUnavailable") in zero:
        why = "may not be 0 when `maxSurge` is 0"
        yield invalid_value("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], why)


def _int_or_percent_problems(field: str, value: JsonValue) -> Iterator[FieldProblem]:
    if isinstance(value, str) and not re.fullmatch("[0-9]+%", value):
        yield invalid_value(field, value, "a valid percent string must be a numeric string followed by an ending '%'")
    elif isinstance(value, int) and value < 0:
        yield invalid_value(field, value, "must be greater than or equal to 0")


def _pod_problems(body: JsonObject) -> Iterator[FieldProblem]:
    return pod_problems(object_at(body, "spec"), "spec")


def _service_problems(body: JsonObject) -> Iterator[FieldProblem]:
    spec = object_at(body, "spec")
    ports, type_ = objects_at(spec, "ports"), text_at(spec, "type")
    if not ports and type_ != "ExternalName" and spec.get("clusterIP") != "None":
        yield required_value("spec.ports")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        yield from _service_port_problems(port, f"spec.ports[{index}]", seen, named=len(ports) > 1)
    if type_ not in _SERVICE_TYPES:
        yield unsupported_value("spec.type", type_, _SERVICE_TYPES)
    if type_ == "ExternalName" and not spec.get("externalName"):
        yield required_value("spec.externalName")
    yield from label_problems("spec.selector", object_at(spec, "selector"))


def _changed_address_problems(before: JsonObject, after: JsonObject) -> Iterator[FieldProblem]:
    """Reject a changed cluster IP. Changing the type to or from ExternalName, which has no IP, is allowed."""
    old, new = dig(before, "spec", "clusterIPs"), dig(after, "spec", "clusterIPs")
    if old and new and old != new:
        yield invalid_value("spec.clusterIPs[0]", new, "may not change once set")


def _service_port_problems(port: JsonObject, field: str, seen: set[str], *, named: bool) -> Iterator[FieldProblem]:
    name = text_at(port, "name")
    if named and not name:
        yield required_value(f"{field}.name")
    elif name:
        yield from name_problems(f"{field}.name", name, is_label=True)
        if name in seen:
            yield duplicate_value(f"{field}.name", name)
    seen.add(name)
    yield from port_problems(f"{field}.port", number_at(port, "port") or 0)
    yield from port_problems(f"{field}.targetPort", port.get("targetPort"))
    if text_at(port, "protocol") not in _PROTOCOLS:
        yield unsupported_value(f"{field}.protocol", port.get("protocol"), _PROTOCOLS)


def _data_problems(body: JsonObject) -> Iterator[FieldProblem]:
    size = 0
    for field in ("data", "binaryData"):
        for key, value in object_at(body, field).items():
            size += len(str(value))
            if not re.fullmatch(_CONFIG_KEY, key) or key in (".", ".."):
                yield invalid_value(f"{field}[{key}]", key, _CONFIG_KEY_RULE)
    if size > _MAX_DATA_BYTES:
        yield FieldProblem("", "FieldValueTooLong", f"Too long: may not be more than {_MAX_DATA_BYTES} bytes")


def _event_problems(body: JsonObject) -> Iterator[FieldProblem]:
    namespace = text_at(body, "involvedObject", "namespace") or "default"
    if namespace != text_at(body, "metadata", "namespace"):
        yield invalid_value("involvedObject.namespace", namespace, "does not match event.namespace")


def _endpoint_slice_problems(body: JsonObject) -> Iterator[FieldProblem]:
    known = ("FQDN", "IPv4", "IPv6")
    if not text_at(body, "addressType"):
        yield required_value("addressType")
    elif text_at(body, "addressType") not in known:
        yield unsupported_value("addressType", body.get("addressType"), known)


_VALIDATORS: Mapping[str, Callable[[JsonObject], Iterator[FieldProblem]]] = MappingProxyType(
    {
        "Deployment": _deployment_problems,
        "ReplicaSet": _workload_problems,
        "Pod": _pod_problems,
        "Service": _service_problems,
        "ConfigMap": _data_problems,
        "Secret": _data_problems,
        "Event": _event_problems,
        "EndpointSlice": _endpoint_slice_problems,
    }
)
_IMMUTABLE_FIELDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Deployment": ("spec.selector",),
        "ReplicaSet": ("spec.selector",),
        "Secret": ("type",),
        "EndpointSlice": ("addressType",),
        "Service": (),
    }
)
