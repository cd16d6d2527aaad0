"""Run the real application for tests, in process or on a port, with its lifespan and a real database."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import httpx
import uvicorn
from argon2 import Type as Argon2Type
from fastapi import FastAPI
from pwdlib.hashers.argon2 import Argon2Hasher
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource
from starlette.routing import BaseRoute

from src.api.adapters.store.migrations import migrate
from src.api.asgi import create_application
from src.api.config.settings import Settings
from src.api.endpoints.dependencies import Services
from tests.support.garbage import keep_from_garbage_collection
from tests.support.waiting import PATIENCE

BASE = "/api/v1"
SECRET = "0123456789abcdef0123456789abcdef-of-the-tests"
CREDENTIALS_KEY = "fedcba9876543210-key-of-the-tests-for-credentials"
UNREACHABLE_URL = "http://127.0.0.1:9/mcp"
_FIRST_LISTING = "src.api.adapters.tools.mcp._FIRST_LISTING_SECONDS"
PASSWORD = "correct horse battery staple"


class ExplicitSettings(Settings):
    """Settings from arguments only; environment variables and files are ignored."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes them all
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,  # noqa: ARG003
        **more: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def make_settings(data_dir: Path, **values: Any) -> Settings:
    """Build settings for a test: not local mode, a secret, its own folder, no tools and no rate limits."""
    return ExplicitSettings(
        data_dir=data_dir,
        **{
            "jwt_secret": SECRET,
            "credentials_key": CREDENTIALS_KEY,
            "mcp_server_url": UNREACHABLE_URL,
            "sandbox": "none",
            "llm_titles": False,
            "rate_limiting_enabled": False,
            **values,
        },
    )


@dataclass
class RunningApp:
    """An application whose lifespan has started."""

    app: FastAPI
    settings: Settings

    @property
    def services(self) -> Services:
        found = self.app.state.services
        assert isinstance(found, Services)
        return found

    def client(
        self, token: str | None = None, *, peer: str = "127.0.0.1", host: str = "testserver", **headers: str
    ) -> httpx.AsyncClient:
        """Return an in-process client that connects from the address `peer` to the host name `host`."""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(peer, 40_000), raise_app_exceptions=False),
            base_url=f"http://{host}{BASE}",
            headers={**bearer, **headers},
        )


@asynccontextmanager
async def run_app(settings: Settings) -> AsyncIterator[RunningApp]:
    """Run the application's lifespan and yield the application.

    Without a tool server, its first message does not wait for the list of tools.
    """
    cheapen_password_hashes()
    await _copy_migrated_database(settings)
    app = create_application(settings)
    _share_routes(app, settings.api_v1_str)
    without_tools = settings.mcp_server_url == UNREACHABLE_URL
    async with app.router.lifespan_context(app):
        with patch(_FIRST_LISTING, 0.1) if without_tools else nullcontext():
            yield RunningApp(app, settings)
        _keep_imports()


@cache
def cheapen_password_hashes() -> None:
    """Let Argon2 use little memory and one pass in this process: with production's costs it takes half of a test."""
    Argon2Hasher.__init__.__defaults__ = (1, 64, 1, 32, 16, Argon2Type.ID)


@cache
def _keep_imports() -> None:
    """Keep what the first engine imported out of later garbage collections; each start of an engine ends with one."""
    keep_from_garbage_collection()


_ROUTES: dict[str, list[BaseRoute]] = {}


def _share_routes(app: FastAPI, prefix: str) -> None:
    """Reuse the first application's routes: analysing 94 signatures again takes 0.5 s of CPU."""
    app.router.routes = _ROUTES.setdefault(prefix, app.router.routes)


async def _copy_migrated_database(settings: Settings) -> None:
    """Copy a migrated SQLite file, because migrating a new one takes longer than the rest of a start."""
    file = settings.data_dir / "skyflo.sqlite3"
    if settings.embedded and not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file.write_bytes(await asyncio.to_thread(_migrated))


@cache
def _migrated() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "skyflo.sqlite3"
        asyncio.run(migrate(f"sqlite://{file}"))
        return file.read_bytes()


@asynccontextmanager
async def serve_on_port(app: FastAPI) -> AsyncIterator[str]:
    """Serve an application on a real port and yield its URL with the base path. Its lifespan must already run."""
    # A request that arrives just as the server closes an idle connection fails.
    config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, timeout_keep_alive=round(PATIENCE))
    server = uvicorn.Server(config)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        serving = asyncio.create_task(server.serve([listener]))
        yield f"http://127.0.0.1:{listener.getsockname()[1]}{BASE}"
        server.should_exit = True
        server.force_exit = True
        await serving


async def register_user(client: httpx.AsyncClient, email: str, **extra: Any) -> Mapping[str, Any]:
    answer = await client.post("/auth/register/register", json={"email": email, "password": PASSWORD, **extra})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def log_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> str:
    """Log in and return the access token."""
    answer = await client.post("/auth/jwt/login", data={"username": email, "password": password})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def register_client(engine: RunningApp, email: str, host: str = "testserver") -> httpx.AsyncClient:
    """Register a new user and return a client that is logged in as this user."""
    async with engine.client(host=host) as client:
        await register_user(client, email)
        return engine.client(await log_in(client, email), host=host)


def check_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that a response is a valid problem document with this status, and return its body."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["status"] == status
    assert body["detail"].endswith(".")
    assert {"type", "title", "instance", "request_id"} <= set(body)
    assert "Traceback" not in answer.text
    return body
