"""Access to an API server for the contract suite, by raw HTTP and by kubectl."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx2

from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import ssl_context

__all__ = ["APPLY", "JSON", "JSON_PATCH", "MERGE", "STRATEGIC", "TABLE", "ApiResponse", "Backend", "Object", "connect"]

Object = dict[str, Any]
JSON = "application/json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
READ_SECONDS = 120.0


@dataclass(frozen=True)
class ApiResponse:
    """One response of the API server."""

    status: int
    content: bytes
    warnings: list[str]

    @property
    def body(self) -> Object:
        return dict(json.loads(self.content))

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def error(self) -> tuple[int, str]:
        """The status code and the reason of an error response."""
        assert self.status >= 400, f"{self.status} {self.text[:1000]}"
        body = self.body
        assert (body["kind"], body["apiVersion"], body["status"], body["code"]) == (
            "Status",
            "v1",
            "Failure",
            self.status,
        )
        return self.status, body.get("reason", "")

    @property
    def causes(self) -> set[tuple[str, str]]:
        """The reason and the field of each cause of an error."""
        found = self.body.get("details", {}).get("causes", [])
        return {(cause.get("reason", ""), cause.get("field", "")) for cause in found}

    def expect(self, *statuses: int) -> Object:
        """Return the body; fail unless the status code is one of these, or a success if none is given."""
        assert self.status in (statuses or (200, 201, 202)), f"{self.status} {self.text[:1000]}"
        return self.body


@dataclass(frozen=True)
class Backend:
    """One API server, accessed with administrator rights."""

    name: Literal["sandbox", "real"]
    kubeconfig: Path
    context: str
    binary: str
    http: httpx2.Client

    @property
    def is_real(self) -> bool:
        return self.name == "real"

    def request(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        accept: str = JSON,
        content_type: str = JSON,
        headers: dict[str, str] | None = None,
        **params: object,
    ) -> ApiResponse:
        """Send one request. A `body` of text or bytes is sent unchanged, anything else as JSON."""
        content = body if isinstance(body, str | bytes | None) else json.dumps(body)
        sent = {"Accept": accept} | ({"Content-Type": content_type} if content is not None else {}) | (headers or {})
        query = {key: str(value) for key, value in params.items()}
        answer = self.http.request(method, path, content=content, headers=sent, params=query or None)
        return ApiResponse(answer.status_code, answer.content, answer.headers.get_list("warning"))

    def get(self, path: str, **params: object) -> Object:
        return self.request("GET", path, **params).expect(200)

    def table(self, path: str, **params: object) -> Object:
        return self.request("GET", path, accept=TABLE, **params).expect(200)

    @contextmanager
    def watch(self, path: str, **params: object) -> Iterator[Iterator[Object]]:
        """Open a watch and yield its events."""
        query = {"watch": "1", "timeoutSeconds": "20"} | {key: str(value) for key, value in params.items()}
        with self.http.stream("GET", path, params=query, headers={"Accept": JSON}) as answer:
            assert answer.status_code == 200, answer.read()
            yield (json.loads(line) for line in answer.iter_lines() if line)

    def run(self, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
        whose = (f"--kubeconfig={self.kubeconfig}", f"--context={self.context}")
        command = [self.binary, *whose, *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=120)

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        """Run kubectl, require success, and return its output."""
        done = self.run(*arguments, given=given)
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def connect(name: Literal["sandbox", "real"], file: Path, context: str, binary: str) -> Iterator[Backend]:
    """Connect with the address, certificate and token of a kubeconfig, as the tool server does."""
    connection = kubeconfig.load(str(file)).connections[context]
    headers = {"Authorization": f"Bearer {connection.user.token}"} if connection.user.token else {}
    secure = ssl_context(connection.cluster, connection.user)
    timeout = httpx2.Timeout(READ_SECONDS)
    with httpx2.Client(base_url=connection.cluster.server, verify=secure, headers=headers, timeout=timeout) as http:
        yield Backend(name, file, context, binary, http)
