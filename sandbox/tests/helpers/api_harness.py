"""The API server without controllers, called in process on a manual clock."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx2
from controller_harness import ManualClock

from skyflo_sandbox.cluster.api import ClusterApi
from skyflo_sandbox.cluster.app import create_cluster_app
from skyflo_sandbox.cluster.kinds import NAMESPACE, POD
from skyflo_sandbox.cluster.ports import LogLine, LogUnavailable
from skyflo_sandbox.cluster.state import State

__all__ = ["PODS", "ApiHarness", "FakeLogs", "config_map", "pod"]

PODS = "/api/v1/namespaces/shop/pods"


class FakeLogs:
    """Logs that a test fills line by line."""

    def __init__(self) -> None:
        self.written: dict[str, list[LogLine]] = {}

    def lines(self, namespace: str, pod: str, container: str, *, previous: bool) -> list[LogLine]:
        if previous or container not in self.written:
            raise LogUnavailable(f'container "{container}" in pod "{pod}" is waiting to start: ContainerCreating')
        return list(self.written[container])


@dataclass
class ApiHarness:
    """An API server with the namespace `shop`."""

    clock: ManualClock = field(default_factory=ManualClock)
    logs: FakeLogs = field(default_factory=FakeLogs)

    def __post_init__(self) -> None:
        self.state = State(self.clock)
        self.api = ClusterApi(self.state, self.clock)
        self.app = create_cluster_app(self.api, self.logs, self.clock)
        self.api.create(NAMESPACE, "", {"metadata": {"name": "shop"}}, manager="test")

    async def request(self, method: str, path: str, body: object = None, **headers: str) -> httpx2.Response:
        """Send one request; keyword arguments are headers, with `_` for `-`."""
        content = body if isinstance(body, str | bytes | None) else json.dumps(body)
        sent = {"content-type": "application/json"} | {name.replace("_", "-"): text for name, text in headers.items()}
        transport = httpx2.ASGITransport(app=self.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, content=content, headers=sent)

    def run_pod(self, name: str = "web", **status: Any) -> None:
        """Create a pod that runs on a node."""
        body = pod(name)
        body["spec"]["nodeName"] = "node-1"
        running = [{"name": "app", "ready": True, "restartCount": 0, "state": {"running": {"startedAt": "x"}}}]
        body["status"] = {"phase": "Running", "containerStatuses": running} | status
        self.api.create(POD, "shop", body, manager="test")


def pod(name: str = "web", image: str = "app:1", **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}, "spec": {"containers": [{"name": "app", "image": image}]}}


def config_map(name: str = "settings", **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
