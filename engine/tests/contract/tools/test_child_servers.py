"""Other tool servers as child processes: what they get, how they end, and that they are started again."""

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from src.api.adapters.tools import session
from src.api.adapters.tools.servers import build_server_configs
from src.api.schemas.base import JsonObject
from tests.support.app import make_settings
from tests.support.counting_process import ENGINE
from tests.support.tool_harness import JumpingClock, ToolHarness, open_tool_harness
from tests.support.waiting import eventually, is_alive

SECRET = "canary-s3cr3t-0123456789"
OWNER_SCRIPT = """
import asyncio, os, sys
sys.path.insert(0, os.getcwd())
from pathlib import Path
from tests.contract.tools.test_child_servers import open_entry

async def main():
    async with open_entry(Path(sys.argv[1]), {"args": sys.argv[2:]}):
        await asyncio.Event().wait()

asyncio.run(main())
"""
STUBBORN = """
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
signal.pause()
"""


@asynccontextmanager
async def open_entry(
    folder: Path, entry: Mapping[str, Any], environment: Mapping[str, str] | None = None, **how: Any
) -> AsyncIterator[ToolHarness]:
    """Connect to the server `own` of an entry of MCP_SERVERS that runs this interpreter."""
    here: JsonObject = {"name": "own", "trusted": True, "command": sys.executable, "cwd": str(ENGINE)}
    known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ENGINE), **(environment or {})}
    servers = [{**here, "env": {"PYTHONPATH": str(ENGINE)}, **entry}]
    settings = make_settings(folder, environment=known, mcp_servers=json.dumps(servers))
    configs = [config for config in build_server_configs(settings, None, "skyflo") if config.name == "own"]
    async with open_tool_harness(*configs, **how) as harness:
        yield harness


def case(name: str, *args: str) -> dict[str, Any]:
    return {"args": ["-m", "tests.support.hostile_mcp", name, *args]}


async def ask(harness: ToolHarness) -> dict[str, Any]:
    """Return what the child reports about itself."""
    reply = await harness.read({}, "environment")
    assert reply.outcome == "succeeded", reply.error
    block = reply.content[0]
    assert isinstance(block, dict)
    return dict(json.loads(str(block["text"])))


@pytest.mark.promise("secrets")
async def test_child_gets_its_entry_and_nothing_else_of_the_engine(tmp_path: Path) -> None:
    engine = {"OPENAI_API_KEY": "sk-canary", "JWT_SECRET": "canary", "MINE": "for it", "LC_ALL": "C.UTF-8"}
    entry = {**case("Plain", "--flag"), "env": {"PYTHONPATH": str(ENGINE), "MODE": "quiet"}, "env_from": ["MINE"]}
    async with open_entry(tmp_path, entry, engine) as harness:
        await harness.wait_for_state("up")
        told = await ask(harness)
    assert told["environment"] | {"MODE": "quiet", "MINE": "for it", "LC_ALL": "C.UTF-8"} == told["environment"]
    assert "canary" not in str(told["environment"])
    assert told["folder"] == str(ENGINE)
    assert told["args"][-1] == "--flag"


@pytest.mark.promise("secrets")
async def test_values_of_the_entry_reach_neither_log_nor_result(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    entry = {**case("Noise", "--api-key", SECRET), "env": {"PYTHONPATH": str(ENGINE), "NOISE_KEY": SECRET}}
    async with open_entry(tmp_path, entry) as harness:
        await harness.wait_for_state("up")
        shown = str(await harness.read({}, "environment")) + str(await harness.read({}, "look"))
        await eventually(lambda: "starting with" in caplog.text, what="the child's log")
        shown += str(harness.servers.health())
    assert "masked" in caplog.text
    assert SECRET not in caplog.text + shown


async def test_missing_command_and_variable_are_named(tmp_path: Path) -> None:
    for entry, words in (
        ({"command": "no-such-command-here"}, "No such file"),
        ({**case("Plain"), "cwd": str(tmp_path / "none")}, "No such file"),
        ({**case("Plain"), "env_from": ["NOT_SET"]}, "NOT_SET"),
    ):
        async with open_entry(tmp_path, entry) as harness:
            await harness.wait_for_state("down")
            assert words in (harness.servers.health()[0].error or "")
            assert (await harness.read({}, "look", deadline=1)).code == "never_sent"


async def test_killed_child_is_started_again(tmp_path: Path) -> None:
    async with open_entry(tmp_path, case("Plain")) as harness:
        await harness.wait_for_state("up")
        first = (await ask(harness))["pid"]
        os.kill(first, signal.SIGKILL)

        async def is_back() -> bool:
            reply = await harness.read({}, "environment", deadline=5)
            return reply.outcome == "succeeded" and f'"pid": {first}' not in str(reply.content)

        await eventually(is_back, what="another process")
        assert harness.state() == "up"


async def test_child_that_ends_at_once_is_started_less_and_less(tmp_path: Path) -> None:
    script = "import sys; open(sys.argv[1], 'a').write('x'); sys.exit(3)"
    starts = tmp_path / "starts"
    clock = JumpingClock()
    async with open_entry(tmp_path, {"args": ["-c", script, str(starts)]}, clock=clock) as harness:
        await eventually(lambda: starts.exists() and len(starts.read_text()) >= 3, what="three starts")
        assert "ended with code 3" in (harness.servers.health()[0].error or "")
        began = clock.monotonic()
        await eventually(lambda: len(starts.read_text()) >= 5, what="two more starts")
        assert clock.monotonic() - began > 0.4


async def test_child_and_its_descendants_end_with_the_connection(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    async with open_entry(tmp_path, {"args": ["-c", STUBBORN, str(pids)]}):
        await eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, what="the processes")
        processes = [int(pid) for pid in pids.read_text().split()]
        assert all(is_alive(pid) for pid in processes)
    await eventually(lambda: not any(is_alive(pid) for pid in processes), what="the end of the processes")


async def test_stubborn_child_and_its_descendants_end_when_the_engine_is_killed(tmp_path: Path) -> None:
    """They ignore the end of their input and SIGTERM, and only their guard is left to stop them."""
    pids = tmp_path / "pids"
    owner = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OWNER_SCRIPT, str(tmp_path), "-c", STUBBORN, str(pids), cwd=ENGINE
    )
    try:
        await eventually(lambda: pids.exists() and len(pids.read_text().split()) == 2, what="the processes")
    finally:
        owner.kill()
        await owner.wait()
    processes = [int(pid) for pid in pids.read_text().split()]
    await eventually(lambda: not any(is_alive(pid) for pid in processes), what="the end of the processes")


@pytest.mark.promise("once", "unknown")
async def test_change_is_sent_once_and_never_late(tmp_path: Path) -> None:
    clock = JumpingClock()
    async with open_entry(tmp_path, case("Plain"), clock=clock) as harness:
        await harness.wait_for_state("up")
        assert (await harness.change(tool="change")).outcome == "succeeded"
        late = await harness.request(tool="change", send_within=10)
        clock.jump(60)
        assert (await harness.servers.call(late)).code == "never_ran"


@pytest.mark.promise("unknown")
async def test_child_that_works_on_a_call_is_not_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LIST_SECONDS", 0.2)
    async with open_entry(tmp_path, case("Late")) as harness:
        await harness.wait_for_state("up")
        call = asyncio.create_task(harness.change(tool="change"))
        await eventually(lambda: not call.done(), what="the call")
        while not call.done():
            harness.servers.wake()
            await asyncio.wait([call], timeout=0.1)
        assert (await call).outcome == "succeeded"
