"""What the tests of the tool server share: calls with and without grants, and the API server from the other side."""

import hashlib
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import jwt
from fastmcp import FastMCP
from fastmcp.client import Client

from skyflo_tools.clock import SystemClock
from skyflo_tools.door import Door
from skyflo_tools.grants.claims import GRANT
from skyflo_tools.jsontypes import JsonObject, JsonValue, canonical, dig, object_at
from skyflo_tools.kubernetes import kubeconfig
from skyflo_tools.kubernetes.client import KubeClient, Request, json_request
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.server import build
from skyflo_tools.serving import make_door
from skyflo_tools.settings import Settings

KEY = "a grant key for tests, 32 bytes or more"
TOKEN = "a-token-for-tests"


@dataclass(frozen=True)
class Result:
    """A tool's answer."""

    is_error: bool
    text: str
    data: JsonObject

    def has(self, code: str, effect: str = "none") -> bool:
        return self.is_error and (self.data["code"], self.data["effect"]) == (code, effect)


def signed(claims: JsonObject, key: str = KEY) -> str:
    return jwt.encode(claims, key, algorithm="HS256")


def claims_for(tool: str, arguments: JsonObject, preconditions: JsonValue, **changed: JsonValue) -> JsonObject:
    """The claims of a good grant, but for what is changed."""
    now = time.time()
    claims: JsonObject = {
        "jti": f"approval-{secrets.token_hex(8)}",
        "tool": tool,
        "args_sha256": hashlib.sha256(canonical(arguments).encode()).hexdigest(),
        "cluster": None,
        "approver": "ann@example.org",
        "run_id": "run-1",
        "preconditions": preconditions,
        "iat": now,
        "exp": now + 15,
    }
    return claims | changed


@dataclass
class Toolbox:
    """The tools as an engine uses them, over any transport that a FastMCP client takes."""

    client: Client
    door: Door | None = None

    async def call(self, tool: str, arguments: JsonObject, meta: JsonObject | None = None) -> Result:
        answer = await self.client.call_tool_mcp(tool, arguments, meta=meta)
        text = "\n".join(getattr(block, "text", "") for block in answer.content)
        return Result(bool(answer.is_error), text, answer.structured_content or {})

    async def read(self, tool: str, /, **arguments: JsonValue) -> Result:
        """A call that has to work."""
        result = await self.call(tool, arguments)
        assert not result.is_error, result.text
        return result

    async def preview(self, tool: str, arguments: JsonObject) -> JsonObject:
        return (await self.read(f"{tool}__preview", **arguments)).data

    async def granted(
        self, tool: str, arguments: JsonObject, preconditions: JsonValue, key: str = KEY, **changed: JsonValue
    ) -> Result:
        claims = claims_for(tool, arguments, preconditions, **changed)
        return await self.call(tool, arguments, {GRANT: signed(claims, key)})

    async def change(self, tool: str, arguments: JsonObject) -> Result:
        """Preview, approval, execution. It has to work."""
        preview = await self.preview(tool, arguments)
        result = await self.granted(tool, arguments, preview["preconditions"])
        assert not result.is_error, result.text
        return result


def settings_for(file: Path, context: str, folder: Path, **changed: object) -> Settings:
    values: dict[str, object] = {
        "kubeconfig": str(file),
        "clusters": context,
        "data_dir": folder,
        "grant_key": KEY,
        "mode": "engine",
    }
    return Settings.model_validate(values | changed)


def in_process(settings: Settings) -> tuple[FastMCP[None], Door]:
    door = make_door(settings)
    return build(door), door


@asynccontextmanager
async def serving(settings: Settings) -> AsyncIterator[Toolbox]:
    """The tools in this process, for as long as they are used."""
    server, door = in_process(settings)
    async with Client(server) as client:
        yield Toolbox(client, door)
    await door.drain(10)
    await door.services.clusters.aclose()
    if door.services.grants is not None:
        await door.services.grants.aclose()


@dataclass
class World:
    """The API server as an administrator sees it, in one namespace."""

    api: KubeClient
    namespace: str

    def path(self, kind: str, name: str = "", subresource: str = "") -> str:
        roots = {"deployments": "/apis/apps/v1", "statefulsets": "/apis/apps/v1", "jobs": "/apis/batch/v1"}
        end = "/".join(part for part in (name, subresource) if part)
        return f"{roots.get(kind, '/api/v1')}/namespaces/{self.namespace}/{kind}" + (f"/{end}" if end else "")

    async def create(self, kind: str, body: JsonObject) -> KubeObject:
        return KubeObject((await self.api.send(json_request("POST", self.path(kind), body))).json())

    async def get(self, kind: str, name: str) -> KubeObject:
        return KubeObject(await self.api.get(self.path(kind, name)))

    async def patch(
        self, kind: str, name: str, body: JsonObject, subresource: str = "", manager: str = "kim"
    ) -> KubeObject:
        path = self.path(kind, name, subresource)
        request = Request("PATCH", path, {"fieldManager": manager}, json.dumps(body), "application/merge-patch+json")
        return KubeObject((await self.api.send(request)).json())

    async def delete(self, kind: str, name: str) -> None:
        await self.api.send(Request("DELETE", self.path(kind, name), body='{"gracePeriodSeconds":0}'))

    async def deployment(self, name: str = "web", replicas: int = 3, **metadata: JsonValue) -> KubeObject:
        return await self.create("deployments", deployment(name, replicas, **metadata))

    async def config_map(self, name: str, **data: JsonValue) -> KubeObject:
        body: JsonObject = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}
        return await self.create("configmaps", body)


def deployment(name: str = "web", replicas: int = 3, image: str = "web:1", **metadata: JsonValue) -> JsonObject:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, **metadata},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    }


def admin(file: Path, context: str) -> KubeClient:
    return KubeClient(kubeconfig.load(str(file)).connections[context], SystemClock())


@dataclass
class SteppingClock:
    """A clock that a test moves."""

    at: float = field(default_factory=time.time)

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def at_time(door: Door, clock: SteppingClock) -> None:
    """Lets the door's services and its verifier live by the test's clock."""
    door.services = replace(door.services, clock=clock)
    if door.verifier is not None:
        door.verifier._clock = clock


def pinned(preview: JsonObject) -> JsonObject:
    """The first object's preconditions."""
    objects = dig(object_at(preview, "preconditions"), "objects")
    assert isinstance(objects, list)
    assert isinstance(objects[0], dict)
    return objects[0]
