"""The real application for tests: its lifespan run, its database real, spoken to in process or over a port."""

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from src.api.adapters.store.migrations import migrate
from src.api.asgi import create_application
from src.api.config.settings import Settings
from src.api.endpoints.dependencies import Services
from tests.support.waiting import PATIENCE

BASE = "/api/v1"
SECRET = "0123456789abcdef0123456789abcdef-of-the-tests"
CREDENTIALS_KEY = "fedcba9876543210-key-of-the-tests-for-credentials"
NOWHERE = "http://127.0.0.1:9/mcp"
PASSWORD = "correct horse battery staple"


class GivenSettings(Settings):
    """Settings of which only what a test gives counts: no environment, no file."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic-settings passes them all
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,  # noqa: ARG003
        **more: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def given(data_dir: Path, **values: Any) -> Settings:
    """Settings fit for a test: outside local mode, with a secret, in a folder of its own, without tools or limits."""
    return GivenSettings(
        data_dir=data_dir,
        **{
            "jwt_secret": SECRET,
            "credentials_key": CREDENTIALS_KEY,
            "mcp_server_url": NOWHERE,
            "sandbox": "none",
            "llm_titles": False,
            "rate_limiting_enabled": False,
            **values,
        },
    )


@dataclass
class Running:
    """An application whose lifespan runs."""

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
        """A client that speaks to it in process, from the address `peer` and to the name `host`."""
        bearer = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.app, client=(peer, 40_000), raise_app_exceptions=False),
            base_url=f"http://{host}{BASE}",
            headers={**bearer, **headers},
        )


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """The application with its lifespan."""
    await _with_tables(settings)
    app = create_application(settings)
    async with app.router.lifespan_context(app):
        yield Running(app, settings)


async def _with_tables(settings: Settings) -> None:
    """A fresh SQLite file is copied, not made: that takes longer than all else of a start."""
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
async def on_a_port(app: FastAPI) -> AsyncIterator[str]:
    """The application (its lifespan running already) on a real port; its address, with the base path."""
    # A connection that the server closes at the very moment of the next request fails that request.
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


async def registered(client: httpx.AsyncClient, email: str, **extra: Any) -> Mapping[str, Any]:
    answer = await client.post("/auth/register/register", json={"email": email, "password": PASSWORD, **extra})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def signed_in(client: httpx.AsyncClient, email: str, password: str = PASSWORD) -> str:
    """The access token of this person."""
    answer = await client.post("/auth/jwt/login", data={"username": email, "password": password})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def newcomer(engine: Running, email: str) -> httpx.AsyncClient:
    """A client of somebody who has just registered, and signed in."""
    async with engine.client() as client:
        await registered(client, email)
        return engine.client(await signed_in(client, email))


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """The body of a problem, checked for what every one of them promises."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = dict(answer.json())
    assert body["status"] == status
    assert body["detail"].endswith(".")
    assert {"type", "title", "instance", "request_id"} <= set(body)
    assert "Traceback" not in answer.text
    return body
