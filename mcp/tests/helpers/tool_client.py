"""Call tools as the engine does: start a tool server in this process, preview, sign grants, execute."""

import hashlib
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import jwt
from fastmcp import FastMCP
from fastmcp.client import Client
from fastmcp.client.progress import ProgressHandler

from skyflo_common.jsontypes import JsonObject, JsonValue, canonical, dig, object_at
from skyflo_tools.bootstrap import create_dispatcher
from skyflo_tools.dispatcher import ToolDispatcher
from skyflo_tools.grants.claims import GRANT_META
from skyflo_tools.server import build_server
from skyflo_tools.settings import Settings

KEY = "a grant key for tests of 32 bytes or more"
TOKEN = "a-token-for-tests"


@dataclass(frozen=True)
class CallResult:
    """The result of a tool call."""

    is_error: bool
    text: str
    data: JsonObject

    def has_error(self, code: str, effect: str = "none") -> bool:
        return self.is_error and (self.data["code"], self.data["effect"]) == (code, effect)


def sign_token(claims: JsonObject, key: str = KEY) -> str:
    return jwt.encode(claims, key, algorithm="HS256")


def grant_claims(tool: str, arguments: JsonObject, preconditions: JsonValue, **changed: JsonValue) -> JsonObject:
    """Return the claims of a valid grant, with some replaced."""
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
class ToolClient:
    """Calls the tools of one server. `dispatcher` is set if the server runs in this process."""

    client: Client
    dispatcher: ToolDispatcher | None = None

    async def call(
        self, tool: str, arguments: JsonObject, meta: JsonObject | None = None, progress: ProgressHandler | None = None
    ) -> CallResult:
        response = await self.client.call_tool_mcp(tool, arguments, meta=meta, progress_handler=progress)
        text = "\n".join(getattr(block, "text", "") for block in response.content)
        return CallResult(bool(response.is_error), text, response.structured_content or {})

    async def read(self, tool: str, /, **arguments: JsonValue) -> CallResult:
        """Call a read tool, which must succeed."""
        result = await self.call(tool, arguments)
        assert not result.is_error, result.text
        return result

    async def preview(self, tool: str, arguments: JsonObject) -> JsonObject:
        return (await self.read(f"{tool}__preview", **arguments)).data

    async def call_with_grant(
        self,
        tool: str,
        arguments: JsonObject,
        preconditions: JsonValue,
        key: str = KEY,
        progress: ProgressHandler | None = None,
        **changed: JsonValue,
    ) -> CallResult:
        claims = grant_claims(tool, arguments, preconditions, **changed)
        return await self.call(tool, arguments, {GRANT_META: sign_token(claims, key)}, progress)

    async def change(self, tool: str, arguments: JsonObject) -> CallResult:
        """Preview and execute a change, which must succeed."""
        preview = await self.preview(tool, arguments)
        result = await self.call_with_grant(tool, arguments, preview["preconditions"])
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


def create_server(settings: Settings) -> tuple[FastMCP[None], ToolDispatcher]:
    dispatcher = create_dispatcher(settings)
    return build_server(dispatcher), dispatcher


@asynccontextmanager
async def open_tool_client(settings: Settings) -> AsyncIterator[ToolClient]:
    """Run a tool server in this process and open a client for it."""
    server, dispatcher = create_server(settings)
    async with Client(server) as client:
        yield ToolClient(client, dispatcher)
    await dispatcher.drain(10)
    await dispatcher.services.aclose()


def first_precondition(preview: JsonObject) -> JsonObject:
    """Return the preconditions of the first object of a preview."""
    objects = dig(object_at(preview, "preconditions"), "objects")
    assert isinstance(objects, list)
    assert isinstance(objects[0], dict)
    return objects[0]
