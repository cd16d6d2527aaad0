"""Starting the engine as an operator does: refused with reasons, or healthy soon, and stopped by a signal."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from src.api.adapters.store.migrations import migrate
from tests.support.app import BASE, SECRET, UNREACHABLE_URL
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE, eventually

ENGINE = Path(__file__).parents[3]


@contextmanager
def run_uvicorn(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `run_uvicorn src.api.asgi:app` from engine/; yield the process and its address."""
    port = free_port()
    given = {"SKYFLO_ENV_FILE": "", "DATA_DIR": str(folder), "MCP_SERVER_URL": UNREACHABLE_URL, **environment}
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "src.api.asgi:app", "--port", str(port)],
        cwd=ENGINE,
        env={**os.environ, **given},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    try:
        yield process, f"http://127.0.0.1:{port}{BASE}"
    finally:
        process.kill()
        process.communicate()


def read_refusal(folder: Path, **environment: str) -> str:
    """Return the stderr of an engine that refuses to start."""
    with run_uvicorn(folder, **environment) as (process, _):
        _, output = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    return output


async def wait_until_healthy(address: str) -> None:
    async def is_healthy() -> bool:
        try:
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                return (await client.get(f"{address}/health")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(is_healthy, what="the health of the engine")


@pytest.mark.promise("safe-defaults")
def test_missing_settings_are_refused_without_traceback(tmp_path: Path) -> None:
    output = read_refusal(tmp_path)
    assert "JWT_SECRET: is not set" in output
    assert "Traceback" not in output


@pytest.mark.promise("safe-defaults")
def test_all_setting_problems_are_reported(tmp_path: Path) -> None:
    output = read_refusal(tmp_path, JWT_SECRET="short", CORS_ORIGINS="*", LLM_TEMPERATURE="hot")
    assert all(f"- {name}: " in output for name in ("JWT_SECRET", "CORS_ORIGINS", "LLM_TEMPERATURE"))


@pytest.mark.promise("safe-defaults")
def test_unmigrated_database_is_refused(tmp_path: Path, postgres_url: str) -> None:
    output = read_refusal(tmp_path, JWT_SECRET=SECRET, POSTGRES_DATABASE_URL=postgres_url)
    assert "aerich upgrade" in output


@pytest.mark.promise("safe-defaults")
def test_unreachable_database_is_refused(tmp_path: Path) -> None:
    output = read_refusal(tmp_path, JWT_SECRET=SECRET, POSTGRES_DATABASE_URL="postgres://me:hunter2@127.0.0.1:9/x")
    assert "hunter2" not in output


async def test_engine_starts_serves_and_stops(tmp_path: Path) -> None:
    with run_uvicorn(tmp_path, LOCAL_MODE="true") as (process, address):
        await wait_until_healthy(address)
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            me = await client.get(f"{address}/auth/me")
            foreign = await client.get(f"{address}/auth/me", headers={"Host": "evil.example"})
        assert (me.json()["id"], foreign.status_code) == ("local", 401)
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in output
    assert output.count("action=http.request") >= 3


@pytest.mark.parametrize(
    ("level", "debug", "requests", "details"),
    [("ERROR", "false", False, False), ("INFO", "false", True, False), ("ERROR", "true", True, True)],
)
async def test_log_level_and_debug_set_output(
    tmp_path: Path, level: str, debug: str, requests: bool, details: bool
) -> None:
    with run_uvicorn(tmp_path, LOCAL_MODE="true", LOG_LEVEL=level, DEBUG=debug) as (process, address):
        await wait_until_healthy(address)
        process.send_signal(signal.SIGTERM)
        _, output = process.communicate(timeout=PATIENCE)
    assert ("action=http.request" in output) is requests
    assert (" DEBUG " in output) is details


async def test_engine_starts_on_migrated_postgresql(tmp_path: Path, postgres_url: str) -> None:
    await migrate(postgres_url)
    with run_uvicorn(tmp_path, JWT_SECRET=SECRET, POSTGRES_DATABASE_URL=postgres_url) as (
        _,
        address,
    ):
        await wait_until_healthy(address)
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            assert (await client.get(f"{address}/health/database")).status_code == 200
            assert (await client.get(f"{address}/auth/me")).status_code == 401
