"""Column definitions of each kind."""

from collections.abc import Mapping
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster.kinds import Kind

__all__ = ["columns"]

# Column names, with a type unless it is string. Columns after the bar are for `-o wide` only.
_IMAGES = "Containers, Images, Selector"
_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "Namespace": "Name, Status, Age",
        "Node": "Name, Status, Roles, Age, Version | Internal-IP, External-IP, OS-Image, Kernel-Version, "
        "Container-Runtime",
        "Pod": "Name, Ready, Status, Restarts, Age | IP, Node, Nominated Node, Readiness Gates",
        "Service": "Name, Type, Cluster-IP, External-IP, Port(s), Age | Selector",
        "ConfigMap": "Name, Data, Age",
        "Secret": "Name, Type, Data, Age",
        "Deployment": f"Name, Ready, Up-to-date, Available, Age | {_IMAGES}",
        "ReplicaSet": f"Name, Desired:integer, Current:integer, Ready:integer, Age | {_IMAGES}",
        "EndpointSlice": "Name, AddressType, Ports, Endpoints, Age",
        "FeatureFlag": "Name, Age:date",
        "CustomResourceDefinition": "Name, Created At:date",
        "PersistentVolumeClaim": "Name, Status, Volume, Capacity, Access Modes, StorageClass, VolumeAttributesClass, "
        "Age | VolumeMode",
        "StatefulSet": "Name, Ready, Age | Containers, Images",
        "DaemonSet": "Name, Desired:integer, Current:integer, Ready:integer, Up-to-date:integer, Available:integer, "
        f"Node Selector, Age | {_IMAGES}",
        "HorizontalPodAutoscaler": "Name, Reference, Targets, MinPods, MaxPods, Replicas, Age",
        "Job": f"Name, Status, Completions, Duration, Age | {_IMAGES}",
        "CronJob": "Name, Schedule, Timezone, Suspend:boolean, Active:integer, Last Schedule, Age | " + _IMAGES,
        "Ingress": "Name, Class, Hosts, Address, Ports, Age",
        "PodDisruptionBudget": "Name, Min Available, Max Unavailable, Allowed Disruptions:integer, Age",
    }
)
_EVENT_COLUMNS = (
    ("Last Seen", 0),
    ("Type", 0),
    ("Reason", 0),
    ("Object", 0),
    ("Subobject", 1),
    ("Source", 1),
    ("Message", 0),
    ("First Seen", 1),
    ("Count", 1),
    ("Name", 1),
)


def columns(kind: Kind) -> list[JsonObject]:
    """Return the column definitions of a Table of this kind."""
    if kind.kind == "Event":
        return [_column(name, priority) for name, priority in _EVENT_COLUMNS]
    shown, _, wide = _COLUMNS.get(kind.kind, "Name, Age").partition(" | ")
    return [_column(name, priority) for text, priority in ((shown, 0), (wide, 1)) for name in text.split(", ") if name]


def _column(text: str, priority: int) -> JsonObject:
    name, _, type_ = text.partition(":")
    format_ = "name" if name == "Name" else ""
    return {
        "name": name,
        "type": type_ or "string",
        "format": format_,
        "description": _DESCRIPTIONS.get(name, name),
        "priority": priority,
    }


_DESCRIPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "Name": "Name of the object, unique in its namespace.",
        "Age": "Time since the object was created.",
    }
)
