"""How the lists and maps of the known kinds are merged: by which keys, as sets, or only as a whole."""

from collections.abc import Mapping
from types import MappingProxyType

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["Names", "is_atomic", "item_key", "list_keys", "patch_key"]

Names = tuple[str, ...]
"""Where a value is: the names of the fields on the way, without list items."""

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
_WHOLE = frozenset(
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
_DEFAULT_PARTS: Mapping[str, JsonValue] = MappingProxyType({"protocol": "TCP", "containerPort": 0, "port": 0})


def list_keys(kind: Kind, names: Names) -> tuple[str, ...] | None:
    """The fields that tell the items of a list apart; none for a set of values; None for a list that is one value."""
    last = names[-1] if names else ""
    if last == "ports":
        return _port_keys(kind, names)
    if kind.is_custom and names[0] != "metadata":
        return None
    if last == "addresses" and kind.kind != "Node":
        return None
    return _KEYS.get(last)


def _port_keys(kind: Kind, names: Names) -> tuple[str, ...] | None:
    if len(names) > 1 and names[-2] in _CONTAINERS:
        return ("containerPort", "protocol")
    return ("port", "protocol") if (kind.kind, names) == ("Service", ("spec", "ports")) else None


def patch_key(kind: Kind, names: Names) -> str | None:
    """The key of a strategic merge patch: one field. Empty for a set of values, None for a list that is replaced."""
    if names and names[-1] in _PATCH_KEYS:
        return _PATCH_KEYS[names[-1]]
    keys = list_keys(kind, names)
    if keys is None:
        return None
    return keys[0] if keys else ""


def is_atomic(kind: Kind, names: Names) -> bool:
    """Whether an object at this place has one owner as a whole."""
    if not names or kind.is_custom:
        return False
    return names[-1] in _WHOLE or names[-1] == "ownerReferences"


def item_key(item: JsonObject, keys: tuple[str, ...]) -> JsonObject:
    """The key of a list's item. A part that is missing counts as empty: the kind's rules refuse it later."""
    return {key: item.get(key, _DEFAULT_PARTS.get(key, "")) for key in keys}
