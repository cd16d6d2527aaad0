"""The tool server as a child process: environment, shutdown and restarts, with the real server if it is installed."""

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

from skyflo_common.clock import SystemClock
from src.api.adapters.tools.endpoint import ServerConfig
from src.api.adapters.tools.server_process import NOT_INSTALLED, PACKAGE, ToolServerConfig, ToolServerProcess
from src.api.errors import ToolsUnavailable
from tests.support.tool_harness import REDACTOR, ToolHarness, open_tool_harness
from tests.support.waiting import PATIENCE, eventually, is_alive

ENGINE = Path(__file__).parents[3]
UNRELATED_ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-canary",
    "JWT_SECRET": "canary",
    "POSTGRES_DATABASE_URL": "postgres://canary",
}
OWNER_SCRIPT = """
import asyncio, os, sys
from pathlib import Path
from src.api.adapters.tools.server_process import ToolServerConfig, ToolServerProcess
from skyflo_common.clock import SystemClock
from skyflo_common.redaction import Redactor

async def main():
    config = ToolServerConfig(Path(sys.argv[1]), os.environ)
    async with ToolServerProcess(config, SystemClock(), Redactor(b"k")) as child:
        await child.endpoint()
        print(child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


@asynccontextmanager
async def open_child_and_bench(
    folder: Path, **environment: str
) -> AsyncIterator[tuple[ToolServerProcess, ToolHarness]]:
    child = ToolServerProcess(ToolServerConfig(folder, {**os.environ, **environment}), SystemClock(), REDACTOR)
    async with child, open_tool_harness(ServerConfig("own", child, trusted=True)) as harness:
        child.changed = harness.servers.wake
        await harness.wait_for_state("up")
        yield child, harness


def read_environment(child: ToolServerProcess) -> str:
    """Read the environment that the child was started with."""
    listed = subprocess.run(["ps", "eww", "-o", "command=", "-p", str(child.pid)], capture_output=True, check=True)
    return listed.stdout.decode()


@pytest.mark.promise("secrets")
async def test_child_serves_tools_with_minimal_environment(tmp_path: Path) -> None:
    async with open_child_and_bench(tmp_path, **UNRELATED_ENVIRONMENT, KUBECONFIG=str(tmp_path / "none")) as (
        child,
        harness,
    ):
        tools = await harness.servers.tools()
        assert tools["k8s_get"].read
        assert tools["k8s_scale"].preview is not None
        assert tools["k8s_delete"].destructive
        assert (await harness.read({}, "k8s_list_clusters")).outcome == "succeeded"
        assert (await harness.servers.settle("own", "approval-1")).state == "never_ran"
        environment = read_environment(child)
    assert "canary" not in environment
    assert f"KUBECONFIG={tmp_path / 'none'}" in environment


@pytest.mark.promise("no-approval-no-effect")
async def test_port_requires_key(tmp_path: Path) -> None:
    async with open_child_and_bench(tmp_path) as (child, _):
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


async def test_restarted_child_has_new_keys_and_serves_calls(tmp_path: Path) -> None:
    async with open_child_and_bench(tmp_path) as (child, harness):
        first, pid = await child.endpoint(), child.pid
        assert pid is not None
        assert (await harness.servers.settle("own", "approval-1")).state == "never_ran"
        os.kill(pid, signal.SIGKILL)
        await eventually(lambda: child.pid not in (pid, None), what="another child")
        await eventually(lambda: harness.state() == "up" and child.is_listening, what="the new child")
        second = await child.endpoint()
        assert first.headers != second.headers
        assert first.grant_key != second.grant_key
        await eventually(lambda: _can_read(harness), what="a read")
        assert (await harness.servers.settle("own", "approval-1")).state == "never_ran"


async def _can_read(harness: ToolHarness) -> bool:
    return (await harness.read({}, "k8s_list_clusters")).outcome == "succeeded"


async def test_child_ends_with_owner(tmp_path: Path) -> None:
    async with open_child_and_bench(tmp_path) as (child, _):
        pid = child.pid
        assert pid is not None
    assert not is_alive(pid)


async def test_child_ends_when_owner_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER_SCRIPT, str(tmp_path)]
    owner = await asyncio.create_subprocess_exec(*command, cwd=ENGINE, stdout=asyncio.subprocess.PIPE)
    assert owner.stdout is not None
    pid = int(await asyncio.wait_for(owner.stdout.readline(), PATIENCE))
    assert is_alive(pid)
    owner.kill()
    await owner.wait()
    await eventually(lambda: not is_alive(pid), what="the end of the child")


@pytest.mark.parametrize("script", ["print('hello', flush=True)\nimport time; time.sleep(60)", "raise SystemExit(2)"])
async def test_child_that_can_not_start_is_unavailable(tmp_path: Path, script: str) -> None:
    launch = ToolServerConfig(tmp_path, os.environ, command=(sys.executable, "-c", script))
    async with ToolServerProcess(launch, SystemClock(), REDACTOR) as child:
        with pytest.raises(ToolsUnavailable, match="ended with code"):
            await asyncio.wait_for(child.endpoint(), PATIENCE)


async def test_missing_package_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    async with ToolServerProcess(ToolServerConfig(tmp_path, os.environ), SystemClock(), REDACTOR) as child:
        with pytest.raises(ToolsUnavailable) as refusal:
            await child.endpoint()
    assert refusal.value.detail == NOT_INSTALLED
