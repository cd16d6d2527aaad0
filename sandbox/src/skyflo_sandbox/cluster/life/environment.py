"""The environment of a container, resolved when it starts, as a kubelet does."""

from skyflo_sandbox.cluster.kinds import CONFIG_MAP, SECRET, Kind
from skyflo_sandbox.cluster.life.objects import namespace_of
from skyflo_sandbox.cluster.state import State
from skyflo_sandbox.jsontypes import JsonObject, dig, object_at, objects_at, strings_at, text_at

__all__ = ["BadReference", "environment", "missing_volume"]

_SOURCES = {"configMapRef": CONFIG_MAP, "secretRef": SECRET}
_KEYS = {"configMapKeyRef": CONFIG_MAP, "secretKeyRef": SECRET}


class BadReference(Exception):
    """What a container refers to is not there, in the words of a kubelet."""


def environment(state: State, pod: JsonObject, container: JsonObject) -> dict[str, str]:
    """All variables of a container by name. Raises `BadReference`."""
    found: dict[str, str] = {}
    for source in objects_at(container, "envFrom"):
        for field, kind in _SOURCES.items():
            if field in source:
                prefix = text_at(source, "prefix")
                found |= {f"{prefix}{key}": value for key, value in _all(state, pod, kind, source, field).items()}
    for variable in objects_at(container, "env"):
        value = _value(state, pod, variable)
        if value is not None:
            found[text_at(variable, "name")] = value
    return found


def missing_volume(state: State, pod: JsonObject) -> tuple[str, str] | None:
    """The first volume whose ConfigMap or Secret is not there, and why, if any."""
    for volume in objects_at(pod, "spec", "volumes"):
        for field, name_field, kind in (("configMap", "name", CONFIG_MAP), ("secret", "secretName", SECRET)):
            name = text_at(volume, field, name_field)
            optional = dig(volume, field, "optional") is True
            if name and not optional and state.get(kind, namespace_of(pod), name) is None:
                return text_at(volume, "name"), f'{kind.kind.lower()} "{name}" not found'
    return None


def _all(state: State, pod: JsonObject, kind: Kind, source: JsonObject, field: str) -> dict[str, str]:
    name = text_at(source, field, "name")
    body = state.get(kind, namespace_of(pod), name)
    if body is not None:
        return _data(kind, body)
    if dig(source, field, "optional") is True:
        return {}
    raise BadReference(f'{kind.kind.lower()} "{name}" not found')


def _value(state: State, pod: JsonObject, variable: JsonObject) -> str | None:
    """None for an optional reference to nothing."""
    source = object_at(variable, "valueFrom")
    for field, kind in _KEYS.items():
        if field in source:
            return _key(state, pod, kind, object_at(source, field))
    path = text_at(source, "fieldRef", "fieldPath")
    return _field(pod, path) if path else text_at(variable, "value")


def _key(state: State, pod: JsonObject, kind: Kind, reference: JsonObject) -> str | None:
    name, key, optional = text_at(reference, "name"), text_at(reference, "key"), reference.get("optional") is True
    body = state.get(kind, namespace_of(pod), name)
    data = _data(kind, body) if body is not None else {}
    if key in data:
        return data[key]
    if optional:
        return None
    if body is None:
        raise BadReference(f'{kind.kind.lower()} "{name}" not found')
    raise BadReference(f"couldn't find key {key} in {kind.kind} {namespace_of(pod)}/{name}")


def _data(kind: Kind, body: JsonObject) -> dict[str, str]:
    """Only keys and lengths of a Secret matter here, so its values stay as they are stored: never printed."""
    return strings_at(body, "data") if kind is CONFIG_MAP else dict.fromkeys(strings_at(body, "data"), "(secret)")


def _field(pod: JsonObject, path: str) -> str:
    head, _, key = path.partition("['")
    if key:
        return strings_at(pod, *head.split(".")).get(key.removesuffix("']"), "")
    return text_at(pod, *path.split("."))
