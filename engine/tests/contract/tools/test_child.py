"""The tool server as a child: its environment, its end, its restarts. The real one where it is installed."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from src.api.adapters.tools.child import MISSING, PACKAGE, Launch, ToolChild
from src.api.adapters.tools.endpoint import ServerConfig
from src.api.errors import ToolsUnavailable
from src.api.utils.clock import SystemClock
from tests.support.tool_bench import REDACTOR, Bench, open_bench
from tests.support.waiting import PATIENCE, eventually

ENGINE = Path(__file__).parents[3]
ALIEN = {"OPENAI_API_KEY": "sk-canary", "JWT_SECRET": "canary", "POSTGRES_DATABASE_URL": "postgres://canary"}
OWNER = """
import asyncio, os, sys
from pathlib import Path
from src.api.adapters.tools.child import Launch, ToolChild
from src.api.utils.clock import SystemClock
from src.api.utils.redaction import Redactor

async def main():
    async with ToolChild(Launch(Path(sys.argv[1]), os.environ), SystemClock(), Redactor(b"k")) as child:
        await child.endpoint()
        print(child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def child_and_bench(folder: Path, **environment: str) -> AsyncIterator[tuple[ToolChild, Bench]]:
    child = ToolChild(Launch(folder, {**os.environ, **environment}), SystemClock(), REDACTOR)
    async with child, open_bench(ServerConfig("own", child, trusted=True)) as bench:
        child.changed = bench.servers.wake
        await bench.seen("up")
        yield child, bench


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def environment_of(child: ToolChild) -> str:
    """What the child was started with."""
    listed = subprocess.run(["ps", "eww", "-o", "command=", "-p", str(child.pid)], capture_output=True, check=True)
    return listed.stdout.decode()


@pytest.mark.promise("secrets")
async def test_it_serves_our_tools_and_is_given_no_more_than_it_needs(tmp_path: Path) -> None:
    async with child_and_bench(tmp_path, **ALIEN, KUBECONFIG=str(tmp_path / "none")) as (child, bench):
        tools = await bench.servers.tools()
        assert tools["k8s_get"].read
        assert tools["k8s_scale"].preview is not None
        assert tools["k8s_delete"].destructive
        assert (await bench.read({}, "k8s_list_clusters")).outcome == "succeeded"
        assert (await bench.servers.settle("own", "approval-1")).state == "never_ran"
        handed = environment_of(child)
    assert "canary" not in handed
    assert f"KUBECONFIG={tmp_path / 'none'}" in handed


@pytest.mark.promise("no-approval-no-effect")
async def test_its_port_serves_nobody_without_the_key(tmp_path: Path) -> None:
    async with child_and_bench(tmp_path) as (child, _):
        endpoint = await child.endpoint()
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        code = await asyncio.to_thread(_post, endpoint.url, body)
    assert code == 401


def _post(url: str, body: str) -> int:
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:  # noqa: S310 - loopback
            return int(response.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_it_is_started_anew_with_new_keys_and_calls_go_on(tmp_path: Path) -> None:
    async with child_and_bench(tmp_path) as (child, bench):
        first, pid = await child.endpoint(), child.pid
        assert pid is not None
        assert (await bench.servers.settle("own", "approval-1")).state == "never_ran"
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: child.pid not in (pid, None), what="another child")
        await eventually(lambda: bench.state() == "up" and child.listens, what="the new child")
        second = await child.endpoint()
        assert first.headers != second.headers
        assert first.grant_key != second.grant_key
        await eventually(lambda: _reads(bench), what="a read")
        assert (await bench.servers.settle("own", "approval-1")).state == "never_ran"


async def _reads(bench: Bench) -> bool:
    return (await bench.read({}, "k8s_list_clusters")).outcome == "succeeded"


async def test_it_ends_with_us(tmp_path: Path) -> None:
    async with child_and_bench(tmp_path) as (child, _):
        pid = child.pid
        assert pid is not None
    assert not alive(pid)


async def test_it_ends_when_we_are_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    owner = await asyncio.create_subprocess_exec(*command, cwd=ENGINE, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(await asyncio.wait_for(owner.stdout.readline(), PATIENCE))
    assert alive(pid)
    owner.kill()
    await owner.wait()
    await eventually(lambda: not alive(pid), what="the end of the child")


@pytest.mark.parametrize("script", ["print('hello', flush=True)\nimport time; time.sleep(60)", "raise SystemExit(2)"])
async def test_one_that_can_not_start_is_said_to_be_down(tmp_path: Path, script: str) -> None:
    launch = Launch(tmp_path, os.environ, command=(sys.executable, "-c", script))
    async with ToolChild(launch, SystemClock(), REDACTOR) as child:
        with pytest.raises(ToolsUnavailable, match="ended with code"):
            await asyncio.wait_for(child.endpoint(), PATIENCE)


async def test_without_the_package_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    async with ToolChild(Launch(tmp_path, os.environ), SystemClock(), REDACTOR) as child:
        with pytest.raises(ToolsUnavailable) as refusal:
            await child.endpoint()
    assert refusal.value.detail == MISSING
