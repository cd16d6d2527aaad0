"""What makes a pod's spec, or that of a template, invalid."""

import re
from collections.abc import Iterator

from skyflo_sandbox.cluster.naming import name_problems
from skyflo_sandbox.cluster.quantities import amount
from skyflo_sandbox.cluster.statuses import Problem, duplicate, forbidden_value, required, unsupported, wrong
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, objects_at, strings_at, text_at

__all__ = ["pod_change_problems", "pod_problems", "port_problem"]

_PORT_NAME = re.compile("(?!.*--)(?=.*[a-z])[a-z0-9]([-a-z0-9]{0,13}[a-z0-9])?")
_PORT_NAME_TEXT = (
    "must be no more than 15 characters of a-z, 0-9 and '-', with at least one letter, and must not begin or end with "
    "'-' or have two in a row"
)
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")


def port_problem(field: str, port: JsonValue) -> Iterator[Problem]:
    """Problems of a port's number, or of a name that stands for one."""
    if isinstance(port, int) and not 1 <= port <= 65535:
        yield wrong(field, port, "must be between 1 and 65535, inclusive")
    if isinstance(port, str) and not _PORT_NAME.fullmatch(port):
        yield wrong(field, port, _PORT_NAME_TEXT)


def pod_problems(spec: JsonObject, field: str) -> Iterator[Problem]:
    """Problems of the pod spec at `field`."""
    yield from _volumes(spec, field)
    containers = objects_at(spec, "containers")
    if not containers:
        yield required(f"{field}.containers")
    known = {text_at(volume, "name") for volume in objects_at(spec, "volumes")}
    seen: set[str] = set()
    for group in ("containers", "initContainers"):
        for index, container in enumerate(objects_at(spec, group)):
            yield from _container(container, f"{field}.{group}[{index}]", known, seen)
    if text_at(spec, "restartPolicy") not in ("Always", "OnFailure", "Never"):
        known_policies = ("Always", "OnFailure", "Never")
        yield unsupported(f"{field}.restartPolicy", text_at(spec, "restartPolicy"), known_policies)
    grace = number_at(spec, "terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        yield wrong(f"{field}.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")


def _volumes(spec: JsonObject, field: str) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, volume in enumerate(objects_at(spec, "volumes")):
        name, where = text_at(volume, "name"), f"{field}.volumes[{index}].name"
        if not name:
            yield required(where)
            continue
        yield from name_problems(where, name, short=True)
        if name in seen:
            yield duplicate(where, name)
        seen.add(name)


def _container(container: JsonObject, field: str, volumes: set[str], seen: set[str]) -> Iterator[Problem]:
    name = text_at(container, "name")
    yield from name_problems(f"{field}.name", name, short=True) if name else [required(f"{field}.name")]
    if not text_at(container, "image"):
        yield required(f"{field}.image")
    for index, port in enumerate(objects_at(container, "ports")):
        yield from _container_port(port, f"{field}.ports[{index}]")
    for index, variable in enumerate(objects_at(container, "env")):
        if not text_at(variable, "name"):
            yield required(f"{field}.env[{index}].name")
    policies = ("Always", "IfNotPresent", "Never")
    if text_at(container, "imagePullPolicy") not in policies:
        yield unsupported(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), policies)
    yield from _resources(container, f"{field}.resources")
    yield from _probes(container, field)
    yield from _mounts(container, field, volumes)
    if name and name in seen:
        yield duplicate(f"{field}.name", name)
    seen.add(name)


def _container_port(port: JsonObject, field: str) -> Iterator[Problem]:
    if not number_at(port, "containerPort"):
        yield required(f"{field}.containerPort")
    else:
        yield from port_problem(f"{field}.containerPort", port.get("containerPort"))
    yield from port_problem(f"{field}.name", text_at(port, "name") or None)
    if text_at(port, "protocol") not in ("TCP", "UDP", "SCTP"):
        yield unsupported(f"{field}.protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _resources(container: JsonObject, field: str) -> Iterator[Problem]:
    """More can't be requested than what is the limit."""
    limits, requests = strings_at(container, "resources", "limits"), strings_at(container, "resources", "requests")
    for name, text in requests.items():
        wanted, most = amount(text), amount(limits.get(name, ""))
        if wanted is not None and most is not None and wanted > most:
            yield wrong(f"{field}.requests", text, f"must be less than or equal to {name} limit of {limits[name]}")


def _probes(container: JsonObject, field: str) -> Iterator[Problem]:
    for name in _PROBES:
        probe = container.get(name)
        if isinstance(probe, dict) and not any(handler in probe for handler in _HANDLERS):
            yield required(f"{field}.{name}", "must specify a handler type")


def _mounts(container: JsonObject, field: str, volumes: set[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, mount in enumerate(objects_at(container, "volumeMounts")):
        where, name, path = f"{field}.volumeMounts[{index}]", text_at(mount, "name"), text_at(mount, "mountPath")
        if not name:
            yield required(f"{where}.name")
        elif name not in volumes:
            yield Problem(f"{where}.name", "FieldValueNotFound", f'Not found: "{name}"')
        if not path:
            yield required(f"{where}.mountPath")
        elif path in seen:
            yield wrong(f"{where}.mountPath", path, "must be unique")
        seen.add(path)


def pod_change_problems(before: JsonObject, after: JsonObject) -> Iterator[Problem]:
    """A pod that is there may change its images, tolerations and little else."""
    if _frozen(before) != _frozen(after):
        yield forbidden_value(
            "spec",
            "pod updates may not change fields other than `spec.containers[*].image`,"
            "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing"
            " tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously "
            "negative)",
        )


def _frozen(spec: JsonObject) -> JsonObject:
    """What must stay. A pod without a node may still get one."""
    frozen = {
        key: value for key, value in spec.items() if key not in ("tolerations", "activeDeadlineSeconds", "nodeName")
    }
    for group in ("containers", "initContainers"):
        frozen[group] = [{**each, "image": ""} for each in objects_at(spec, group)]
    return frozen
