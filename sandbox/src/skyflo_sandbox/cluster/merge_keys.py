"""How lists and maps of the known kinds are merged: by key, as sets, or as a whole."""

from collections.abc import Mapping
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.cluster.kinds import Kind

__all__ = ["SchemaPath", "is_atomic", "item_key", "list_map_keys", "patch_merge_key"]

SchemaPath = tuple[str, ...]
"""Position in the schema: the field names on the way to a value, without list items."""

_NAME = ("name",)
_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_KEYS = MappingProxyType(
    {
        **dict.fromkeys((*_CONTAINERS, "env", "volumes", "imagePullSecrets"), _NAME),
        "volumeMounts": ("mountPath",),
        "volumeDevices": ("devicePath",),
        "hostAliases": ("ip",),
        "ownerReferences": ("uid",),
        "conditions": ("type",),
        "addresses": ("type",),
        "podIPs": ("ip",),
        "hostIPs": ("ip",),
        "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
        "finalizers": (),
        "podCIDRs": (),
    }
)
_PATCH_KEYS = MappingProxyType({"topologySpreadConstraints": "topologyKey", "taints": "key"})
_ATOMIC = frozenset(
    {
        "selector",
        "nodeSelector",
        "involvedObject",
        "configMapKeyRef",
        "secretKeyRef",
        "fieldRef",
        "resourceFieldRef",
        "requiredDuringSchedulingIgnoredDuringExecution",
    }
)
_KEY_DEFAULTS: Mapping[str, JsonValue] = MappingProxyType({"protocol": "TCP", "containerPort": 0, "port": 0})


def list_map_keys(kind: Kind, names: SchemaPath) -> tuple[str, ...] | None:
    """Return the fields that identify the items of a list; empty for a set, None for an atomic list."""
    last = names[-1] if names else ""
    if last == "ports":
        return _port_keys(kind, names)
    if kind.is_custom and names[0] != "metadata":
        return None
    if last == "addresses" and kind.kind != "Node":
        return None
    return _KEYS.get(last)


def _port_keys(kind: Kind, names: SchemaPath) -> tuple[str, ...] | None:
    if len(names) > 1 and names[-2] in _CONTAINERS:
        return ("containerPort", "protocol")
    return ("port", "protocol") if (kind.kind, names) == ("Service", ("spec", "ports")) else None


def patch_merge_key(kind: Kind, names: SchemaPath) -> str | None:
    """Return the strategic merge key of a list; empty for a set, None for a list that is replaced."""
    if names and names[-1] in _PATCH_KEYS:
        return _PATCH_KEYS[names[-1]]
    keys = list_map_keys(kind, names)
    if keys is None:
        return None
    return keys[0] if keys else ""


def is_atomic(kind: Kind, names: SchemaPath) -> bool:
    """Return whether the object at this position has a single owner as a whole."""
    if not names or kind.is_custom:
        return False
    return names[-1] in _ATOMIC or names[-1] == "ownerReferences"


def item_key(item: JsonObject, keys: tuple[str, ...]) -> JsonObject:
    """Return the key of a list item. A missing part counts as empty; validation rejects it later."""
    return {key: item.get(key, _KEY_DEFAULTS.get(key, "")) for key in keys}
