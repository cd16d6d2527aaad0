"""Create a namespace for stored credentials, and a proxy to the API server that loses requests or responses."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx2

from src.api.adapters.secrets.cluster import ClusterAccess, read_service_account
from tests.support.kubectl import Kubectl
from tests.support.services import PROJECT, Cluster

__all__ = ["LossyApiProxy", "SecretNamespace", "create_secret_namespace", "open_lossy_proxy"]

SUBJECT = "skyflo-engine"


@dataclass(frozen=True)
class SecretNamespace:
    """A namespace with a service account that has exactly the rights that docs/operations.md requires."""

    kubectl: Kubectl
    folder: Path
    server: str

    @property
    def namespace(self) -> str:
        return self.kubectl.namespace

    @property
    def access(self) -> ClusterAccess:
        """Return the access that a pod with this service account has."""
        url = httpx2.URL(self.server)
        return read_service_account(url.host, str(url.port or 443), self.folder)

    @property
    def token(self) -> str:
        return (self.folder / "token").read_text()

    def kubeconfig(self, file: Path, **user: str) -> Path:
        """Write a kubeconfig with the context `vault`: with the service account's token, or with `user` instead."""
        authority = base64.b64encode((self.folder / "ca.crt").read_bytes()).decode()
        cluster = {"server": self.server, "certificate-authority-data": authority}
        written = {
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user or {"token": self.token}}],
            "contexts": [{"name": "vault", "context": {"cluster": "c", "user": "u"}}],
        }
        file.write_text(json.dumps(written))
        return file

    def secrets(self) -> list[str]:
        listed = self.kubectl("get", "secrets", "-o=jsonpath={.items[*].metadata.name}")
        return listed.split()


def create_secret_namespace(cluster: Cluster, folder: Path) -> SecretNamespace:
    """Create the namespace, the account and its rights, as the documentation instructs an operator."""
    assert cluster.kubectl
    kubectl = Kubectl(cluster.kubectl, cluster.kubeconfig, cluster.context).with_own_namespace()
    kubectl("create", "serviceaccount", SUBJECT)
    kubectl("apply", "-f", "-", given=documented_rights(kubectl.namespace))
    (folder / "token").write_text(kubectl("create", "token", SUBJECT).strip())
    shown = json.loads(kubectl("config", "view", "--raw", "--minify", "-o=json"))
    server = shown["clusters"][0]["cluster"]
    authority = server.get("certificate-authority-data")
    pem = base64.b64decode(authority) if authority else Path(server["certificate-authority"]).read_bytes()
    (folder / "ca.crt").write_bytes(pem)
    return SecretNamespace(kubectl, folder, server["server"])


def documented_rights(namespace: str) -> str:
    """Return the Role and RoleBinding of docs/operations.md for one namespace."""
    text = (PROJECT / "docs" / "operations.md").read_text()
    blocks = [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "skyflo-credentials" in block]
    assert len(blocks) == 1
    return re.sub(r"namespace: [\w-]+", f"namespace: {namespace}", blocks[0])


@dataclass
class LossyApiProxy:
    """A proxy in front of an API server. `lose` lists methods whose response is lost once, `drop` whose request is."""

    access: ClusterAccess
    port: int = 0
    lose: set[str] = field(default_factory=set)
    drop: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    @property
    def via_proxy(self) -> ClusterAccess:
        """Return access to the API server through the proxy."""
        return replace(self.access, server=f"http://127.0.0.1:{self.port}")

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._pass_on(reader, writer)
        finally:
            writer.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        length = int(next((value for name, value in headers.items() if name.lower() == "content-length"), "0"))
        body = await reader.readexactly(length)
        self.seen.append(method)
        if method in self.drop:
            self.drop.discard(method)
            return
        kept = {name: value for name, value in headers.items() if name.lower() in ("authorization", "content-type")}
        async with httpx2.AsyncClient(base_url=self.access.server, verify=self.access.tls) as http:
            answer = await http.request(method, path, content=body, headers=kept)
        if method in self.lose:
            self.lose.discard(method)
            return
        status = (
            f"HTTP/1.1 {answer.status_code} -\r\nConnection: close\r\nContent-Length: {len(answer.content)}\r\n\r\n"
        )
        writer.write(status.encode() + answer.content)
        await writer.drain()


@asynccontextmanager
async def open_lossy_proxy(access: ClusterAccess) -> AsyncIterator[LossyApiProxy]:
    front = LossyApiProxy(access)
    server = await asyncio.start_server(front.serve, "127.0.0.1", 0)
    front.port = server.sockets[0].getsockname()[1]
    async with server:
        yield front
