"""The engine doing its main job: on a port, with a scripted model and a tool server that counts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.app import Running, given, on_a_port, running
from tests.support.counting import GRANT_KEY, TOKEN, Counting
from tests.support.person import Person
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import PATIENCE

__all__ = ["Job", "at_work"]


@dataclass
class Job:
    """An engine at work. `me` is the local admin."""

    running: Running
    me: Person
    counting: Counting
    model: ScriptedModel

    def effects_of(self, name: str) -> list[str]:
        """The values that a thing was set to, in order."""
        return [effect.value for effect in self.counting.effects() if effect.name == name]


@asynccontextmanager
async def at_work(folder: Path, counting: Counting, model: ScriptedModel, **values: Any) -> AsyncIterator[Job]:
    """In local mode on SQLite, unless `values` say otherwise."""
    servers = {"mcp_server_url": counting.url, "mcp_server_token": TOKEN, "mcp_grant_key": GRANT_KEY}
    speaking = {"llm_model": "openai/scripted", "llm_host": model.url}
    environment = {"OPENAI_API_KEY": "sk-scripted-0123456789"}
    settings = given(folder, **{"local_mode": True, "environment": environment, **servers, **speaking, **values})
    async with (
        running(settings) as app,
        on_a_port(app.app) as address,
        httpx.AsyncClient(base_url=address, timeout=PATIENCE) as client,
    ):
        yield Job(app, Person(client), counting, model)
