"""Starting as an operator does: the requested command, refused with reasons or healthy soon, and gone when asked."""

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
from tests.support.app import BASE, NOWHERE, SECRET
from tests.support.services import free_port
from tests.support.waiting import PATIENCE, eventually

ENGINE = Path(__file__).parents[2]


@contextmanager
def uvicorn(folder: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`uvicorn src.api.asgi:app` from engine/, and its address."""
    port = free_port()
    given = {"SKYFLO_ENV_FILE": "", "DATA_DIR": str(folder), "MCP_SERVER_URL": NOWHERE, **environment}
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


def refusal(folder: Path, **environment: str) -> str:
    """What it says when it does not start."""
    with uvicorn(folder, **environment) as (process, _):
        _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    return said


async def healthy(address: str) -> None:
    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(timeout=PATIENCE) as client:
                return (await client.get(f"{address}/health")).status_code == 200
        except httpx.TransportError:
            return False

    await eventually(answers, what="the health of the engine")


@pytest.mark.promise("safe-defaults")
def test_nothing_set_is_refused_with_reasons_and_no_trace(tmp_path: Path) -> None:
    said = refusal(tmp_path)
    assert "JWT_SECRET: is not set" in said
    assert "Traceback" not in said


@pytest.mark.promise("safe-defaults")
def test_every_reason_at_once(tmp_path: Path) -> None:
    said = refusal(tmp_path, JWT_SECRET="short", CORS_ORIGINS="*", LLM_TEMPERATURE="hot")
    assert all(f"- {name}: " in said for name in ("JWT_SECRET", "CORS_ORIGINS", "LLM_TEMPERATURE"))


@pytest.mark.promise("safe-defaults")
def test_an_unmigrated_database_is_refused(tmp_path: Path, postgres_url: str) -> None:
    said = refusal(tmp_path, JWT_SECRET=SECRET, POSTGRES_DATABASE_URL=postgres_url)
    assert "aerich upgrade" in said


@pytest.mark.promise("safe-defaults")
def test_a_database_that_does_not_answer_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, JWT_SECRET=SECRET, POSTGRES_DATABASE_URL="postgres://me:hunter2@127.0.0.1:9/x")
    assert "hunter2" not in said


async def test_it_starts_answers_and_ends(tmp_path: Path) -> None:
    with uvicorn(tmp_path, LOCAL_MODE="true") as (process, address):
        await healthy(address)
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            me = await client.get(f"{address}/auth/me")
            foreign = await client.get(f"{address}/auth/me", headers={"Host": "evil.example"})
        assert (me.json()["id"], foreign.status_code) == ("local", 401)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in said
    assert said.count("action=http.request") >= 3


@pytest.mark.parametrize(
    ("level", "debug", "requests", "details"),
    [("ERROR", "false", False, False), ("INFO", "false", True, False), ("ERROR", "true", True, True)],
)
async def test_log_level_and_debug(tmp_path: Path, level: str, debug: str, requests: bool, details: bool) -> None:
    with uvicorn(tmp_path, LOCAL_MODE="true", LOG_LEVEL=level, DEBUG=debug) as (process, address):
        await healthy(address)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE)
    assert ("action=http.request" in said) is requests
    assert (" DEBUG " in said) is details


async def test_it_starts_on_a_migrated_postgresql(tmp_path: Path, postgres_url: str) -> None:
    await migrate(postgres_url)
    with uvicorn(tmp_path, JWT_SECRET=SECRET, POSTGRES_DATABASE_URL=postgres_url) as (
        _,
        address,
    ):
        await healthy(address)
        async with httpx.AsyncClient(timeout=PATIENCE) as client:
            assert (await client.get(f"{address}/health/database")).status_code == 200
            assert (await client.get(f"{address}/auth/me")).status_code == 401
