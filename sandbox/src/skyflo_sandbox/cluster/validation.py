"""What makes an object invalid, as far as people meet it: 422 with one cause for each problem."""

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.cluster.naming import label_problems, name_problems, object_problems
from skyflo_sandbox.cluster.podrules import pod_change_problems, pod_problems, port_problem
from skyflo_sandbox.cluster.shapes import mismatch
from skyflo_sandbox.cluster.statuses import (
    Problem,
    bad_request,
    duplicate,
    forbidden_value,
    invalid,
    required,
    unsupported,
    wrong,
)
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, dig, number_at, object_at, objects_at, strings_at, text_at

__all__ = ["check", "check_change", "check_types"]

_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    f"'key-name', regex used for validation is '{_CONFIG_KEY}')"
)
_DATA_AT_MOST = 1024 * 1024
_SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def check_types(kind: Kind, body: JsonObject) -> None:
    """Refuses values of a wrong JSON type."""
    found = mismatch(kind, body)
    if not found and kind.kind == "Secret":
        found = _not_base64(object_at(body, "data"))
    if found:
        raise bad_request(f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {found}')


def check(kind: Kind, body: JsonObject) -> None:
    """Refuses an object that breaks a rule of its kind. The body has its defaults."""
    problems = [*object_problems(kind.kind, body), *_OF_KIND.get(kind.kind, _nothing)(body)]
    _refuse(kind, body, problems)


def check_change(kind: Kind, before: JsonObject, after: JsonObject) -> None:
    """Like `check`, for an object that is there: some of its fields must stay."""
    problems = [*object_problems(kind.kind, after), *_OF_KIND.get(kind.kind, _nothing)(after)]
    problems += [
        wrong(field, dig(after, *field.split(".")), "field is immutable")
        for field in _IMMUTABLE.get(kind.kind, ())
        if dig(before, *field.split(".")) != dig(after, *field.split("."))
    ]
    if kind.kind == "Service":
        problems += _moved_address(before, after)
    if kind.kind == "Pod":
        problems += pod_change_problems(object_at(before, "spec"), object_at(after, "spec"))
    if before.get("immutable") is True:
        problems += [
            forbidden_value(field, "field is immutable when `immutable` is set")
            for field in ("data", "binaryData", "immutable")
            if before.get(field) != after.get(field)
        ]
    _refuse(kind, after, problems)


def _refuse(kind: Kind, body: JsonObject, problems: list[Problem]) -> None:
    if problems:
        raise invalid(kind.kind, kind.group, text_at(body, "metadata", "name"), problems)


def _not_base64(data: JsonObject) -> str:
    for value in data.values():
        try:
            b64decode(str(value or "").replace("\n", ""), validate=True)
        except (binascii.Error, ValueError):
            return "illegal base64 data at input byte 0"
    return ""


def _nothing(_: JsonObject) -> Iterator[Problem]:
    return iter(())


def _workload(body: JsonObject) -> Iterator[Problem]:
    spec = object_at(body, "spec")
    replicas = number_at(spec, "replicas") or 0
    if replicas < 0:
        yield wrong("spec.replicas", replicas, "must be greater than or equal to 0")
    yield from _selector(spec)
    template = object_at(spec, "template")
    yield from label_problems("spec.template.labels", object_at(template, "metadata", "labels"))
    yield from pod_problems(object_at(template, "spec"), "spec.template.spec")
    policy = text_at(template, "spec", "restartPolicy")
    if policy in ("OnFailure", "Never"):
        yield unsupported("spec.template.spec.restartPolicy", policy, ("Always",))


def _selector(spec: JsonObject) -> Iterator[Problem]:
    selector, labels = object_at(spec, "selector"), dig(spec, "template", "metadata", "labels")
    wanted = strings_at(selector, "matchLabels")
    if "selector" not in spec:
        yield required("spec.selector")
    elif not wanted and not selector.get("matchExpressions"):
        yield wrong("spec.selector", selector, "empty selector is invalid for deployment")
    yield from label_problems("spec.selector.matchLabels", object_at(selector, "matchLabels"))
    expressions = objects_at(selector, "matchExpressions")
    problems = [
        problem
        for index, each in enumerate(expressions)
        for problem in _expression(each, f"spec.selector.matchExpressions[{index}]")
    ]
    yield from problems
    fitting = bool(selector) and wanted.items() <= (labels.items() if isinstance(labels, dict) else frozenset())
    if not fitting or not (problems or all(_fits(each, object_at(labels)) for each in expressions)):
        yield wrong("spec.template.metadata.labels", labels, "`selector` does not match template `labels`")


def _expression(each: JsonObject, field: str) -> Iterator[Problem]:
    operator, values = text_at(each, "operator"), each.get("values")
    if operator not in ("In", "NotIn", "Exists", "DoesNotExist"):
        yield wrong(f"{field}.operator", operator, "not a valid selector operator")
    elif operator in ("In", "NotIn") and not values:
        yield required(f"{field}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist") and values:
        yield forbidden_value(f"{field}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    yield from label_problems(f"{field}.key", {text_at(each, "key"): ""})


def _fits(each: JsonObject, labels: JsonObject) -> bool:
    operator, value = text_at(each, "operator"), labels.get(text_at(each, "key"))
    values = each.get("values")
    if operator in ("Exists", "DoesNotExist"):
        return (value is not None) is (operator == "Exists")
    return (value in values if isinstance(values, list) else False) is (operator == "In")


def _deployment(body: JsonObject) -> Iterator[Problem]:
    yield from _workload(body)
    strategy = object_at(body, "spec", "strategy")
    if strategy.get("type") not in ("Recreate", "RollingUpdate"):
        yield unsupported("spec.strategy", strategy, ("Recreate", "RollingUpdate"))
    if strategy.get("type") == "Recreate" and strategy.get("rollingUpdate") is not None:
        why = "may not be specified when strategy `type` is 'Recreate'"
        yield forbidden_value("spec.strategy.rollingUpdate", why)
    rolling = object_at(strategy, "rollingUpdate")
    for field in ("maxUnavailable", "maxSurge"):
        yield from _amount(f"spec.strategy.rollingUpdate.{field}", rolling.get(field))
    nothing = (0, "0%")
    if rolling.get("maxSurge") in nothing and rolling.get("maxUnavailable") in nothing:
        why = "may not be 0 when `maxSurge` is 0"
        yield wrong("spec.strategy.rollingUpdate.maxUnavailable", rolling["maxUnavailable"], why)


def _amount(field: str, value: JsonValue) -> Iterator[Problem]:
    if isinstance(value, str) and not re.fullmatch("[0-9]+%", value):
        yield wrong(field, value, "a valid percent string must be a numeric string followed by an ending '%'")
    elif isinstance(value, int) and value < 0:
        yield wrong(field, value, "must be greater than or equal to 0")


def _pod(body: JsonObject) -> Iterator[Problem]:
    return pod_problems(object_at(body, "spec"), "spec")


def _service(body: JsonObject) -> Iterator[Problem]:
    spec = object_at(body, "spec")
    ports, type_ = objects_at(spec, "ports"), text_at(spec, "type")
    if not ports and type_ != "ExternalName" and spec.get("clusterIP") != "None":
        yield required("spec.ports")
    seen: set[str] = set()
    for index, port in enumerate(ports):
        yield from _service_port(port, f"spec.ports[{index}]", seen, named=len(ports) > 1)
    if type_ not in _SERVICE_TYPES:
        yield unsupported("spec.type", type_, _SERVICE_TYPES)
    if type_ == "ExternalName" and not spec.get("externalName"):
        yield required("spec.externalName")
    yield from label_problems("spec.selector", object_at(spec, "selector"))


def _moved_address(before: JsonObject, after: JsonObject) -> Iterator[Problem]:
    """A Service keeps its address, but on the way from and to ExternalName, which has none."""
    old, new = dig(before, "spec", "clusterIPs"), dig(after, "spec", "clusterIPs")
    if old and new and old != new:
        yield wrong("spec.clusterIPs[0]", new, "may not change once set")


def _service_port(port: JsonObject, field: str, seen: set[str], *, named: bool) -> Iterator[Problem]:
    name = text_at(port, "name")
    if named and not name:
        yield required(f"{field}.name")
    elif name:
        yield from name_problems(f"{field}.name", name, short=True)
        if name in seen:
            yield duplicate(f"{field}.name", name)
    seen.add(name)
    yield from port_problem(f"{field}.port", number_at(port, "port") or 0)
    yield from port_problem(f"{field}.targetPort", port.get("targetPort"))
    if text_at(port, "protocol") not in _PROTOCOLS:
        yield unsupported(f"{field}.protocol", port.get("protocol"), _PROTOCOLS)


def _data(body: JsonObject) -> Iterator[Problem]:
    size = 0
    for field in ("data", "binaryData"):
        for key, value in object_at(body, field).items():
            size += len(str(value))
            if not re.fullmatch(_CONFIG_KEY, key) or key in (".", ".."):
                yield wrong(f"{field}[{key}]", key, _CONFIG_KEY_TEXT)
    if size > _DATA_AT_MOST:
        yield Problem("", "FieldValueTooLong", f"Too long: may not be more than {_DATA_AT_MOST} bytes")


def _event(body: JsonObject) -> Iterator[Problem]:
    namespace = text_at(body, "involvedObject", "namespace") or "default"
    if namespace != text_at(body, "metadata", "namespace"):
        yield wrong("involvedObject.namespace", namespace, "does not match event.namespace")


def _endpoint_slice(body: JsonObject) -> Iterator[Problem]:
    known = ("FQDN", "IPv4", "IPv6")
    if not text_at(body, "addressType"):
        yield required("addressType")
    elif text_at(body, "addressType") not in known:
        yield unsupported("addressType", body.get("addressType"), known)


_OF_KIND: Mapping[str, Callable[[JsonObject], Iterator[Problem]]] = MappingProxyType(
    {
        "Deployment": _deployment,
        "ReplicaSet": _workload,
        "Pod": _pod,
        "Service": _service,
        "ConfigMap": _data,
        "Secret": _data,
        "Event": _event,
        "EndpointSlice": _endpoint_slice,
    }
)
_IMMUTABLE: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Deployment": ("spec.selector",),
        "ReplicaSet": ("spec.selector",),
        "Secret": ("type",),
        "EndpointSlice": ("addressType",),
        "Service": (),
    }
)
