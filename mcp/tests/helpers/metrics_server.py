"""A metrics API of the cluster under test, served from the test process with figures of the test's choice."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.errors import ToolFailure
from skyflo_tools.kubernetes.client import ApiRequest, KubeClient, json_request
from tests.support.certificates import create_certificate
from tests.support.http_threads import serve_in_thread
from tests.support.waiting import eventually

GROUP, VERSION = "metrics.k8s.io", "metrics.k8s.io/v1beta1"
ROOT = f"/apis/{VERSION}"
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
SERVICES = "/api/v1/namespaces/default/services"
MEASURED: JsonObject = {"timestamp": "2026-11-29T05:00:00Z", "window": "15s"}


@dataclass
class MetricsServer:
    """Answers with these pods, by namespace, and nodes."""

    pods: dict[str, list[JsonObject]] = field(default_factory=dict)
    nodes: list[JsonObject] = field(default_factory=list)

    def add_pod(self, namespace: str, name: str, **containers: tuple[str, str]) -> None:
        """Set the usage of a pod: CPU and memory by container."""
        listed: JsonValue = [{"name": each, "usage": _usage(*used)} for each, used in containers.items()]
        metadata: JsonObject = {"name": name, "namespace": namespace}
        self.pods.setdefault(namespace, []).append({"metadata": metadata, **MEASURED, "containers": listed})

    def add_node(self, name: str, cpu: str, memory: str) -> None:
        self.nodes.append({"metadata": {"name": name}, **MEASURED, "usage": _usage(cpu, memory)})

    def answer(self, path: str) -> JsonObject | None:
        rest = path.removeprefix(ROOT).strip("/").split("/")
        if not path.startswith(ROOT):
            return None
        if rest == [""]:
            return _resource_list()
        if rest == ["nodes"]:
            return _list("NodeMetricsList", self.nodes)
        namespace = rest[1] if rest[0] == "namespaces" else ""
        chosen = [pod for place, pods in self.pods.items() if namespace in ("", place) for pod in pods]
        return _list("PodMetricsList", chosen)


def _usage(cpu: str, memory: str) -> JsonObject:
    return {"cpu": cpu, "memory": memory}


def _list(kind: str, items: list[JsonObject]) -> JsonObject:
    return {"kind": kind, "apiVersion": VERSION, "metadata": {}, "items": [*items]}


def _resource_list() -> JsonObject:
    resources: list[JsonValue] = [
        {"name": name, "singularName": "", "namespaced": name == "pods", "kind": kind, "verbs": ["get", "list"]}
        for name, kind in (("nodes", "NodeMetrics"), ("pods", "PodMetrics"))
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": VERSION, "resources": resources}


@asynccontextmanager
async def metrics_server(client: KubeClient, folder: Path) -> AsyncIterator[MetricsServer]:
    """Serve a metrics API and register it at the API server."""
    figures = MetricsServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(figures))
    server.socket = create_certificate(folder).context().wrap_socket(server.socket, server_side=True)
    port = server.server_address[1]
    spec: JsonObject = {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]}

    async def is_served() -> bool:
        try:
            return "items" in await client.get(f"{ROOT}/nodes")
        except ToolFailure:
            return False

    with serve_in_thread(server):
        await client.send(json_request("POST", SERVICES, {"metadata": {"name": "metrics"}, "spec": spec}))
        await client.send(json_request("POST", API_SERVICES, _registration(port)))
        try:
            await eventually(is_served, what="the metrics API")
            yield figures
        finally:
            await client.send(ApiRequest("DELETE", f"{API_SERVICES}/v1beta1.{GROUP}"))
            await client.send(ApiRequest("DELETE", f"{SERVICES}/metrics"))


def _registration(port: int) -> JsonObject:
    spec: JsonObject = {"group": GROUP, "version": "v1beta1", "insecureSkipTLSVerify": True}
    spec |= {"groupPriorityMinimum": 100, "versionPriority": 100}
    spec |= {"service": {"name": "metrics", "namespace": "default", "port": port}}
    return {"metadata": {"name": f"v1beta1.{GROUP}"}, "spec": spec}


def _handler(figures: MetricsServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = figures.answer(self.path.partition("?")[0])
            body = json.dumps(answer or {}).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    return Handler
