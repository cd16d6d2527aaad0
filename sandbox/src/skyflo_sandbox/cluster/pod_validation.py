"""Validate pod specs, also those of templates."""

import re
from collections.abc import Iterator

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.errors import (
    FieldProblem,
    duplicate_value,
    forbidden_value,
    invalid_value,
    required_value,
    unsupported_value,
)
from skyflo_sandbox.cluster.metadata_validation import name_problems
from skyflo_sandbox.cluster.quantities import parse_quantity

__all__ = ["pod_change_problems", "pod_problems", "port_problems"]

_PORT_NAME = re.compile("(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_PORT_NAME_RULE = (
    "must be no more than 15 characters of a-z, 0-9 and '-', with at least one letter, and must not begin or end with "
    "'-' or have two in a row"
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")


def port_problems(field: str, port: JsonValue) -> Iterator[FieldProblem]:
    """Validate a port number or a port name."""
    if isinstance(port, int) and not 1 <= port <= 65535:
        yield invalid_value(field, port, "must be between 1 and 65535, inclusive")
    if isinstance(port, str) and not _PORT_NAME.fullmatch(port):
        yield invalid_value(field, port, _PORT_NAME_RULE)


def pod_problems(spec: JsonObject, field: str) -> Iterator[FieldProblem]:
    """Validate the pod spec at `field`."""
    yield from _volume_problems(spec, field)
    containers = objects_at(spec, "containers")
    if not containers:
        yield required_value(f"{field}.containers")
    known = {text_at(volume, "name") for volume in objects_at(spec, "volumes")}
    seen: set[str] = set()
    for group in ("containers", "initContainers"):
        for index, container in enumerate(objects_at(spec, group)):
            yield from _container_problems(container, f"{field}.{group}[{index}]", known, seen)
    if text_at(spec, "restartPolicy") not in ("Always", "OnFailure", "Never"):
        known_policies = ("Always", "OnFailure", "Never")
        yield unsupported_value(f"{field}.restartPolicy", text_at(spec, "restartPolicy"), known_policies)
    grace = number_at(spec, "terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        yield invalid_value(f"{field}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")


def _volume_problems(spec: JsonObject, field: str) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for index, volume in enumerate(objects_at(spec, "volumes")):
        name, where = text_at(volume, "name"), f"{field}.volumes[{index}].name"
        if not name:
            yield required_value(where)
            continue
        yield from name_problems(where, name, is_label=True)
        if name in seen:
            yield duplicate_value(where, name)
        seen.add(name)


def _container_problems(container: JsonObject, field: str, volumes: set[str], seen: set[str]) -> Iterator[FieldProblem]:
    name = text_at(container, "name")
    yield from name_problems(f"{field}.name", name, is_label=True) if name else [required_value(f"{field}.name")]
    if not text_at(container, "image"):
        yield required_value(f"{field}.image")
    for index, port in enumerate(objects_at(container, "ports")):
        yield from _container_port_problems(port, f"{field}.ports[{index}]")
    for index, variable in enumerate(objects_at(container, "env")):
        if not text_at(variable, "name"):
            yield required_value(f"{field}.env[{index}].name")
    policies = ("Always", "IfNotPresent", "Never")
    if text_at(container, "imagePullPolicy") not in policies:
        yield unsupported_value(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), policies)
    yield from _resource_problems(container, f"{field}.resources")
    yield from _probe_problems(container, field)
    yield from _mount_problems(container, field, volumes)
    if name and name in seen:
        yield duplicate_value(f"{field}.name", name)
    seen.add(name)


def _container_port_problems(port: JsonObject, field: str) -> Iterator[FieldProblem]:
    if not number_at(port, "containerPort"):
        yield required_value(f"{field}.containerPort")
    else:
        yield from port_problems(f"{field}.containerPort", port.get("containerPort"))
    yield from port_problems(f"{field}.name", text_at(port, "name") or None)
    if text_at(port, "protocol") not in ("TCP", "UDP", "SCTP"):
        yield unsupported_value(f"{field}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _resource_problems(container: JsonObject, field: str) -> Iterator[FieldProblem]:
    """Reject requests that exceed the limit of the same resource."""
    limits, requests = strings_at(container, "resources", "limits"), strings_at(container, "resources", "requests")
    for name, text in requests.items():
        requested, limit = parse_quantity(text), parse_quantity(limits.get(name, ""))
        if requested is not None and limit is not None and requested > limit:
            yield invalid_value(
                f"{field}.requests", text, f"must be less than or equal to {name} limit of {limits[name]}"
            )


def _probe_problems(container: JsonObject, field: str) -> Iterator[FieldProblem]:
    for name in _PROBES:
        probe = container.get(name)
        if isinstance(probe, dict) and not any(handler in probe for handler in _PROBE_HANDLERS):
            yield required_value(f"{field}.{name}", "must specify a handler type")


def _mount_problems(container: JsonObject, field: str, volumes: set[str]) -> Iterator[FieldProblem]:
    seen: set[str] = set()
    for index, mount in enumerate(objects_at(container, "volumeMounts")):
        where, name, path = f"{field}.volumeMounts[{index}]", text_at(mount, "name"), text_at(mount, "mountPath")
        if not name:
            yield required_value(f"{where}.name")
        elif name not in volumes:
            yield FieldProblem(f"{where}.name", "FieldValueNotFound", f'Not found: "{name}"')
        if not path:
            yield required_value(f"{where}.mountPath")
        elif path in seen:
            yield invalid_value(f"{where}.mountPath", path, "must be unique")
        seen.add(path)


def pod_change_problems(before: JsonObject, after: JsonObject) -> Iterator[FieldProblem]:
    """Reject changes of an existing pod other than to images, tolerations and a few more fields."""
    if _immutable_part(before) != _immutable_part(after):
        yield forbidden_value(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing"
            " tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
            "negative)",
        )


def _immutable_part(spec: JsonObject) -> JsonObject:
    """Return the part of a pod spec that can't change. `nodeName` is excluded, so that pods can be bound."""
    immutable = {
        key: value for key, value in spec.items() if key not in ("tolerations", "activeDeadlineSeconds", "nodeName")
    }
    for group in ("containers", "initContainers"):
        immutable[group] = [{**each, "image": ""} for each in objects_at(spec, group)]
    return immutable
