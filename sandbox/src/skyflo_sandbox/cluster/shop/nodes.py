"""Three nodes, ready and with room."""

from skyflo_sandbox.clock import rfc3339
from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["nodes"]

COUNT = 3
_HEALTH = (
    ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
    ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
)


def nodes(now: float) -> list[JsonObject]:
    """All nodes, as they were when they joined."""
    return [_node(number, rfc3339(now)) for number in range(1, COUNT + 1)]


def _node(number: int, now: str) -> JsonObject:
    name, network = f"node-{number}", f"10.244.{number}.0/24"
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/zone": f"zone-{'abc'[number - 1]}",
            },
        },
        "spec": {"podCIDR": network, "podCIDRs": [network]},
        "status": _status(name, number, now),
    }


def _status(name: str, number: int, now: str) -> JsonObject:
    conditions: list[JsonValue] = [
        {
            "type": type_,
            "status": status,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
        for type_, status, reason, message in _HEALTH
    ]
    return {
        "capacity": {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "80Gi", "pods": "110"},
        "allocatable": {"cpu": "3800m", "memory": "7680Mi", "ephemeral-storage": "72Gi", "pods": "110"},
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": f"172.20.0.{10 + number}"},
            {"type": "Hostname", "address": name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "containerd://2.1.4",
            "kernelVersion": "6.12.0-sandbox",
            "kubeProxyVersion": "",
            "kubeletVersion": "v1.36.3",
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "Skyflo sandbox",
            "systemUUID": "",
        },
    }
