"""Replace the keys of the tool server by the commands of docs/operations/keys.md, while changes wait for a decision."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values

from tests.e2e.test_kill import generation, rested
from tests.support.api_user import Answer, ApiUser
from tests.support.console_pages import find_scenarios, run_step
from tests.support.ports import free_port
from tests.support.product import Product, RestartableProduct, UpProcess, tool_call
from tests.support.services import PROJECT
from tests.support.waiting import PATIENCE

STEPS = find_scenarios(PROJECT / "docs" / "operations" / "keys.md")["rotation"]
OLD = {
    "MCP_SERVER_TOKEN": "old-token-0123456789-0123456789-01234",
    "MCP_GRANT_KEY": "old-key-0123456789-0123456789-012345",
}
DECIDED = "approvals.decisions.ApprovalDecisions.decide:after_commit"


@dataclass
class Installation:
    """A tool server on a port of its own, engines that use it, and the file with the keys that both start with."""

    folder: Path
    engines: RestartableProduct
    port: int = field(default_factory=free_port)
    process: asyncio.subprocess.Process | None = None

    @property
    def keys(self) -> dict[str, str]:
        return {name: value or "" for name, value in dotenv_values(self.folder / "keys.env").items()}

    async def restart_tools(self) -> None:
        await self.stop_tools()
        keys, kubectl = self.keys, self.engines.kubectl
        settings = {
            "SKYFLO_TOOLS_PORT": str(self.port),
            "SKYFLO_TOOLS_TOKEN": keys["MCP_SERVER_TOKEN"],
            "SKYFLO_TOOLS_GRANT_KEY": keys["MCP_GRANT_KEY"],
            "SKYFLO_TOOLS_DATA_DIR": str(self.folder / "grants"),
            "KUBECONFIG": str(kubectl.kubeconfig),
            "CLUSTERS": kubectl.context,
        }
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "skyflo_tools", "--http"),
            env={**os.environ, **settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert self.process.stdout is not None
        announced = json.loads(await asyncio.wait_for(self.process.stdout.readline(), PATIENCE))
        assert announced["port"] == self.port

    async def stop_tools(self) -> None:
        if self.process is not None:
            self.process.terminate()
            await asyncio.wait_for(self.process.communicate(), PATIENCE)

    async def start_engine(self, **settings: str) -> UpProcess:
        url = {"MCP_SERVER_URL": f"http://127.0.0.1:{self.port}/mcp"}
        return await self.engines.start(**url, **self.keys, **settings)

    def edit_keys(self, step: int) -> list[int]:
        """Run a command of the page. Returns how many keys each setting has afterwards."""
        run_step(STEPS[step], self.folder, os.environ)
        return [len(value.split(",")) for value in self.keys.values()]

    async def ask_for_replicas(self, engine: UpProcess, me: ApiUser, replicas: int) -> Answer:
        kubectl = self.engines.kubectl
        where = {"kind": "deployment", "name": "web", "namespace": kubectl.namespace}
        product = Product(engine, self.engines.model, kubectl, self.folder)
        product.set_script(tool_call("k8s_scale", **where, replicas=replicas), "That is that.")
        return await me.ask("Scale web")


@pytest.fixture
async def installation(restartable: RestartableProduct, tmp_path: Path) -> AsyncIterator[Installation]:
    (tmp_path / "keys.env").write_text("".join(f"{name}={value}\n" for name, value in OLD.items()))
    restartable.kubectl.create_deployment(replicas=2)
    made = Installation(tmp_path, restartable)
    await made.restart_tools()
    yield made
    await made.stop_tools()


@pytest.mark.promise("once", "recovery")
async def test_change_approved_before_the_rotation_runs_once_after_it(installation: Installation) -> None:
    before = generation(installation.engines.kubectl)
    dying = await installation.start_engine(SKYFLO_TESTING="1", SKYFLO_FAILPOINTS=f"{DECIDED}=kill")
    async with dying.open_user() as me:
        asked = await installation.ask_for_replicas(dying, me, 4)
        assert installation.edit_keys(0) == [2, 2]
        await installation.restart_tools()  # it accepts both keys, and the engine has the old ones
        with pytest.raises(httpx.HTTPError):
            await me.decide(asked, asked.waiting[0])
    assert await dying.wait_for_exit() == -9
    assert generation(installation.engines.kubectl) == before, "approved, and not run"

    assert installation.edit_keys(1) == [2, 2]
    engine = await installation.start_engine()  # it signs with the new key
    async with engine.open_user() as me:
        whole = await rested(me, asked)
        assert [event["call_id"] for event in whole.all("tool.result")] == asked.waiting
        assert generation(installation.engines.kubectl) == before + 1
        asked = await installation.ask_for_replicas(engine, me, 3)
        assert installation.edit_keys(2) == [1, 1]
        await installation.restart_tools()  # without the old keys
        done = await me.decide(asked, asked.waiting[0])
        assert len(done.all("tool.result")) == 1
    assert generation(installation.engines.kubectl) == before + 2
    assert not set(installation.keys.values()) & set(OLD.values())
