"""A mutating admission webhook of the cluster under test, served from the test process."""

import json
import threading
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster_namespace import KubeNamespace, deployment_manifest

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.client import ApiRequest, json_request
from tests.support.certificates import Certificate, create_certificate
from tests.support.http_threads import serve_in_thread
from tests.support.waiting import eventually

HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
Mutation = Callable[[JsonObject], list[JsonObject]]
"""Returns the steps of a JSON patch for an object."""


def add_annotation(body: JsonObject, value: str, path: str = "/metadata") -> list[JsonObject]:
    """Return the steps that set an annotation of the object, or of its pod template."""
    holder: Any = body
    for name in path.strip("/").split("/"):
        holder = holder[name]
    steps: list[JsonObject] = []
    if holder.get("annotations") is None:
        steps.append({"op": "add", "path": f"{path}/annotations", "value": {}})
    return [*steps, {"op": "add", "path": f"{path}/annotations/policy.example.org~1stamp", "value": value}]


@asynccontextmanager
async def admission_webhook(namespace: KubeNamespace, mutate: Mutation, folder: Path) -> AsyncIterator[None]:
    """Serve a webhook and register it for the deployments of a namespace."""
    certificate = create_certificate(folder)
    called = threading.Event()

    def mutate_and_note(body: JsonObject) -> list[JsonObject]:
        called.set()
        return mutate(body)

    async def is_active() -> bool:
        probe = json_request("POST", namespace.path("deployments"), deployment_manifest("probe"), dryRun="All")
        await namespace.client.send(probe)
        return called.is_set()

    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(mutate_and_note))
    server.socket = certificate.context().wrap_socket(server.socket, server_side=True)
    url = f"https://127.0.0.1:{server.server_address[1]}/"
    hook = _configuration(namespace.name, url, certificate)
    with serve_in_thread(server):
        try:
            await namespace.client.send(json_request("POST", HOOKS, hook))
            await eventually(is_active, what="the API server's first call of the webhook")
            yield
        finally:
            await namespace.client.send(ApiRequest("DELETE", f"{HOOKS}/{namespace.name}"))


def _configuration(name: str, url: str, certificate: Certificate) -> JsonObject:
    rule: JsonObject = {
        "apiGroups": ["apps"],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments"],
    }
    client: JsonObject = {"url": url, "caBundle": b64encode(certificate.file.read_bytes()).decode()}
    hook: JsonObject = {
        "name": "stamp.example.org",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": client,
        "rules": [rule],
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
    }
    return {"metadata": {"name": name}, "webhooks": [hook]}


def _handler(mutate: Mutation) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))["request"]
            steps = b64encode(json.dumps(mutate(asked["object"])).encode()).decode()
            response: dict[str, JsonValue] = {"uid": asked["uid"], "allowed": True, "patchType": "JSONPatch"}
            review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"}
            body = json.dumps({**review, "response": {**response, "patch": steps}}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    return Handler
