"""The server process: port announcement, lock file, bearer token and parent pipe."""

import asyncio
import fcntl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from server_process import ServerProcess, running_server, server_environment, start_server
from tool_client import KEY, TOKEN

pytestmark = pytest.mark.processes


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    """A tool server without a cluster."""
    async with running_server(server_environment(tmp_path / "no-kubeconfig", "", tmp_path)) as running:
        yield running


async def test_server_starts_without_a_kubeconfig_and_reports_it(server: ServerProcess) -> None:
    async with server.open_client() as tool_client:
        listed = await tool_client.read("k8s_list_clusters")
        assert "no kubeconfig at" in listed.text
        assert "set KUBECONFIG" in listed.text
        refused = await tool_client.call("k8s_get", {"kind": "pods"})
        assert refused.has_error("no_cluster")


async def test_all_paths_but_health_require_the_token(server: ServerProcess) -> None:
    async with httpx2.AsyncClient(base_url=server.url) as http:
        health = await http.get("/healthz")
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            for path in ("/mcp", "/", "/healthz/../mcp"):
                assert (await http.post(path, headers=headers, json={})).status_code == 401


async def test_each_token_of_the_list_is_accepted(tmp_path: Path) -> None:
    both = server_environment(tmp_path / "none", "", tmp_path, SKYFLO_TOOLS_TOKEN=f"{TOKEN}, the-older-token,")
    async with running_server(both) as server:
        for token in (TOKEN, "the-older-token"):
            async with server.open_client(token) as tool_client:
                assert "no kubeconfig at" in (await tool_client.read("k8s_list_clusters")).text
        async with httpx2.AsyncClient(base_url=server.url) as http:
            for token in ("the-older", f"{TOKEN},the-older-token"):
                refused = await http.post("/mcp", headers={"Authorization": f"Bearer {token}"}, json={})
                assert refused.status_code == 401


async def test_oversized_body_is_rejected(server: ServerProcess) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=server.url) as http:
        large = await http.post("/mcp", headers=headers, content=b"x" * (5 * 1024 * 1024))
        assert large.status_code == 413


async def test_server_exits_when_the_parent_closes_its_pipe(server: ServerProcess) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await server.stop() == 0
    assert loop.time() - began < 20


async def test_server_exits_on_sigterm(server: ServerProcess) -> None:
    server.process.terminate()
    assert await server.wait() == 143


@pytest.mark.promise("once")
async def test_server_waits_for_an_older_process(tmp_path: Path) -> None:
    env = server_environment(tmp_path / "none", "", tmp_path)
    async with running_server(env) as older:
        waiting = asyncio.create_task(start_server(env))
        done, _ = await asyncio.wait({waiting}, timeout=4)
        assert not done
        await older.stop()
        newer = await asyncio.wait_for(waiting, 120)
        assert await newer.stop() == 0


async def test_server_exits_if_the_lock_stays_held(tmp_path: Path) -> None:
    with (tmp_path / "tools.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        env = server_environment(tmp_path / "none", "", tmp_path, SKYFLO_TOOLS_LOCK_WAIT_SECONDS="0.1")
        process = await asyncio.create_subprocess_exec(
            *_command(), env=env, stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 3
    assert b"action=lock_refused" in errors


def _command() -> list[str]:
    return [sys.executable, "-m", "skyflo_tools"]


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"SKYFLO_TOOLS_GRANT_KEY": "short"}, b"shorter than 32 bytes"),
        ({"SKYFLO_TOOLS_GRANT_KEY": f"{KEY},short"}, b"shorter than 32 bytes"),
        ({"SKYFLO_TOOLS_GRANT_KEY": ",".join([KEY] * 6)}, b"at most 5"),
        ({"SKYFLO_TOOLS_TOKEN": " , ", "SKYFLO_TOOLS_HOST": "192.0.2.1"}, b"SKYFLO_TOOLS_TOKEN is required"),
        ({"SKYFLO_TOOLS_MODE": "engine", "SKYFLO_TOOLS_GRANT_KEY": ""}, b"GRANT_KEY"),
    ],
)
async def test_unsafe_settings_prevent_the_start(tmp_path: Path, changed: dict[str, str], expected: bytes) -> None:
    env = server_environment(tmp_path / "none", "", tmp_path, **changed)
    process = await asyncio.create_subprocess_exec(
        *_command(), env=env, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 2
    assert expected in errors


@pytest.mark.promise("secrets")
async def test_data_files_are_private(server: ServerProcess, tmp_path: Path) -> None:
    async with server.open_client() as tool_client:
        await tool_client.read("grant_settle", id="approval-1")
    for name in ("tools.lock", "grants.sqlite3"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, name
