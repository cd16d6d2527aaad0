"""Resolve a container's environment variables when it starts."""

from skyflo_common.jsontypes import JsonObject, dig, object_at, objects_at, strings_at, text_at
from skyflo_sandbox.cluster.controllers.objects import namespace_of
from skyflo_sandbox.cluster.kinds import CONFIG_MAP, SECRET, Kind
from skyflo_sandbox.cluster.state import State

__all__ = ["MissingReference", "find_missing_volume", "resolve_environment"]

_ENV_FROM_KINDS = {"configMapRef": CONFIG_MAP, "secretRef": SECRET}
_KEY_REF_KINDS = {"configMapKeyRef": CONFIG_MAP, "secretKeyRef": SECRET}


class MissingReference(Exception):
    """A referenced ConfigMap, Secret or key is missing. The message is the kubelet's."""


def resolve_environment(state: State, pod: JsonObject, container: JsonObject) -> dict[str, str]:
    """Return all variables of a container. Raises `MissingReference`."""
    found: dict[str, str] = {}
    for source in objects_at(container, "envFrom"):
        for field, kind in _ENV_FROM_KINDS.items():
            if field in source:
                prefix = text_at(source, "prefix")
                found |= {
                    f"{prefix}{key}": value for key, value in _source_variables(state, pod, kind, source, field).items()
                }
    for variable in objects_at(container, "env"):
        value = _variable_value(state, pod, variable)
        if value is not None:
            found[text_at(variable, "name")] = value
    return found


def find_missing_volume(state: State, pod: JsonObject) -> tuple[str, str] | None:
    """Return the first volume whose ConfigMap or Secret is missing, and the reason; None if all exist."""
    for volume in objects_at(pod, "spec", "volumes"):
        for field, name_field, kind in (("configMap", "name", CONFIG_MAP), ("secret", "secretName", SECRET)):
            name = text_at(volume, field, name_field)
            optional = dig(volume, field, "optional") is True
            if name and not optional and state.get(kind, namespace_of(pod), name) is None:
                return text_at(volume, "name"), f'{kind.kind.lower()} "{name}" not found'
    return None


def _source_variables(state: State, pod: JsonObject, kind: Kind, source: JsonObject, field: str) -> dict[str, str]:
    name = text_at(source, field, "name")
    body = state.get(kind, namespace_of(pod), name)
    if body is not None:
        return _readable_data(kind, body)
    if dig(source, field, "optional") is True:
        return {}
    raise MissingReference(f'{kind.kind.lower()} "{name}" not found')


def _variable_value(state: State, pod: JsonObject, variable: JsonObject) -> str | None:
    """Return a variable's value; None for an optional reference whose target is missing."""
    source = object_at(variable, "valueFrom")
    for field, kind in _KEY_REF_KINDS.items():
        if field in source:
            return _referenced_value(state, pod, kind, object_at(source, field))
    path = text_at(source, "fieldRef", "fieldPath")
    return _field_value(pod, path) if path else text_at(variable, "value")


def _referenced_value(state: State, pod: JsonObject, kind: Kind, reference: JsonObject) -> str | None:
    name, key, optional = text_at(reference, "name"), text_at(reference, "key"), reference.get("optional") is True
    body = state.get(kind, namespace_of(pod), name)
    data = _readable_data(kind, body) if body is not None else {}
    if key in data:
        return data[key]
    if optional:
        return None
    if body is None:
        raise MissingReference(f'{kind.kind.lower()} "{name}" not found')
    raise MissingReference(f"couldn't find key {key} in {kind.kind} {namespace_of(pod)}/{name}")


def _readable_data(kind: Kind, body: JsonObject) -> dict[str, str]:
    """Return the data. Secret values are replaced by a placeholder, so that programs can't print them."""
    return strings_at(body, "data") if kind is CONFIG_MAP else dict.fromkeys(strings_at(body, "data"), "(secret)")


def _field_value(pod: JsonObject, path: str) -> str:
    head, _, key = path.partition("['")
    if key:
        return strings_at(pod, *head.split(".")).get(key.removesuffix("']"), "")
    return text_at(pod, *path.split("."))
