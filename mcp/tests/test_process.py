"""The process: one line that says where it listens, one lock, one token, and an end with its parent."""

import asyncio
import fcntl
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from toolkit import TOKEN
from wire import Child, child, environment, start


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Child]:
    """A tool server without any cluster."""
    async with child(environment(tmp_path / "no-kubeconfig", "", tmp_path)) as running:
        yield running


async def test_it_starts_without_a_kubeconfig_and_says_what_is_missing(server: Child) -> None:
    async with server.toolbox() as toolbox:
        listed = await toolbox.read("k8s_list_clusters")
        assert "no kubeconfig at" in listed.text
        assert "set KUBECONFIG" in listed.text
        refused = await toolbox.call("k8s_get", {"kind": "pods"})
        assert refused.has("no_cluster")


async def test_health_is_open_and_everything_else_needs_the_token(server: Child) -> None:
    async with httpx2.AsyncClient(base_url=server.url) as http:
        health = await http.get("/healthz")
        assert (health.status_code, health.json()) == (200, {"status": "ok"})
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}):
            for path in ("/mcp", "/", "/healthz/../mcp"):
                assert (await http.post(path, headers=headers, json={})).status_code == 401


async def test_a_body_without_end_is_refused(server: Child) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(base_url=server.url) as http:
        large = await http.post("/mcp", headers=headers, content=b"x" * (5 * 1024 * 1024))
        assert large.status_code == 413


async def test_it_ends_at_once_with_its_parent(server: Child) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await server.end() == 0
    assert loop.time() - began < 20


@pytest.mark.promise("once")
async def test_it_waits_for_the_older_one_to_end(tmp_path: Path) -> None:
    env = environment(tmp_path / "none", "", tmp_path)
    async with child(env) as older:
        waiting = asyncio.create_task(start(env))
        done, _ = await asyncio.wait({waiting}, timeout=4)
        assert not done
        await older.end()
        newer = await asyncio.wait_for(waiting, 120)
        assert await newer.end() == 0


async def test_it_gives_up_waiting_after_its_time(tmp_path: Path) -> None:
    with (tmp_path / "tools.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        env = environment(tmp_path / "none", "", tmp_path, SKYFLO_TOOLS_LOCK_WAIT_SECONDS="0.1")
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
    ("changed", "words"),
    [
        ({"SKYFLO_TOOLS_GRANT_KEY": "short"}, b"shorter than 32 bytes"),
        ({"SKYFLO_TOOLS_MODE": "engine", "SKYFLO_TOOLS_GRANT_KEY": ""}, b"GRANT_KEY"),
    ],
)
async def test_unsafe_settings_do_not_start(tmp_path: Path, changed: dict[str, str], words: bytes) -> None:
    env = environment(tmp_path / "none", "", tmp_path, **changed)
    process = await asyncio.create_subprocess_exec(
        *_command(), env=env, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, errors = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 2
    assert words in errors


@pytest.mark.promise("secrets")
async def test_the_data_folder_is_private(server: Child, tmp_path: Path) -> None:
    async with server.toolbox() as toolbox:
        await toolbox.read("grant_settle", id="approval-1")
    for name in ("tools.lock", "grants.sqlite3"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0, name
