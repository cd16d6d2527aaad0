"""Run the engine on a port, with a scripted model and a tool server that counts its effects."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.api_user import ApiUser
from tests.support.app import RunningApp, make_settings, run_app, serve_on_port
from tests.support.counting_process import GRANT_KEY, TOKEN, CountingProcess
from tests.support.loopback import loopback_async
from tests.support.scripted_model import ScriptedModel

__all__ = ["EngineHarness", "open_engine_harness"]


@dataclass
class EngineHarness:
    """A running engine. `me` is the local admin."""

    running: RunningApp
    me: ApiUser
    counting: CountingProcess
    model: ScriptedModel

    def effects_of(self, name: str) -> list[str]:
        """Return the values that a thing was set to, in order."""
        return [effect.value for effect in self.counting.effects() if effect.name == name]


@asynccontextmanager
async def open_engine_harness(
    folder: Path, counting: CountingProcess, model: ScriptedModel, **values: Any
) -> AsyncIterator[EngineHarness]:
    """Run an engine in local mode on SQLite, unless `values` set otherwise."""
    servers = {"mcp_server_url": counting.url, "mcp_server_token": TOKEN, "mcp_grant_key": GRANT_KEY}
    speaking = {"llm_model": "openai/scripted", "llm_host": model.url}
    environment = {"OPENAI_API_KEY": "sk-scripted-0123456789"}
    settings = make_settings(
        folder, **{"local_mode": True, "environment": environment, **servers, **speaking, **values}
    )
    async with (
        run_app(settings) as app,
        serve_on_port(app.app) as address,
        loopback_async(address) as client,
    ):
        yield EngineHarness(app, ApiUser(client), counting, model)
