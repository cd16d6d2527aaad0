"""Test an engine installed from engine/ alone: no tool server, no sandbox, only its declared dependencies."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import packages_distributions
from pathlib import Path

import httpx
import pytest

from tests.support.app import BASE
from tests.support.counting_process import GRANT_KEY, TOKEN, CountingProcess
from tests.support.ports import free_port
from tests.support.services import PROJECT
from tests.support.waiting import eventually

ENGINE = PROJECT / "engine"
WITHIN = 90


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create an environment with the libraries, engine/ and common/, but without mcp/ and sandbox/."""
    folder = tmp_path_factory.mktemp("alone") / "venv"
    venv.create(folder, symlinks=True)
    made = folder / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "seen.pth").write_text(f"{sysconfig.get_path('purelib')}\n{ENGINE}\n{PROJECT / 'common' / 'src'}\n")
    return made


@contextmanager
def started(python: Path, folder: Path, **settings: str) -> Iterator[str]:
    """Start the documented command in local mode and yield its URL."""
    port = free_port()
    given = {"SKYFLO_ENV_FILE": "", "DATA_DIR": str(folder), "LOCAL_MODE": "true", "KUBECONFIG": "", **settings}
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    command = [python, "-m", "uvicorn", "src.api.asgi:app", "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104
    process = subprocess.Popen(
        command, cwd=ENGINE, env=kept | given, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    try:
        yield f"http://127.0.0.1:{port}{BASE}"
    finally:
        process.kill()
        process.wait()


async def tool_servers(address: str, *states: str) -> dict[str, str | None]:
    """Wait until /health/ready reports one of these states for the tool servers. The engine must answer throughout."""
    found: dict[str, str | None] = {}

    async def known() -> bool:
        try:
            async with httpx.AsyncClient() as client:
                ready = (await client.get(f"{address}/health/ready")).json()
        except httpx.TransportError:
            return False
        found.update(
            next(one for one in ready["dependencies"] if one["name"] == "tool servers"), overall=ready["status"]
        )
        return found["state"] in states

    await eventually(known, WITHIN, "the state of the tool servers")
    return found


def test_tool_server_and_sandbox_are_not_installed(python: Path) -> None:
    code = "import importlib.util as u; print([u.find_spec(name) for name in ('skyflo_tools', 'skyflo_sandbox')])"
    said = subprocess.run([python, "-c", code], cwd=ENGINE, capture_output=True, text=True, check=True, timeout=60)
    assert said.stdout.strip() == "[None, None]"


async def test_engine_without_a_tool_server_starts_degraded_with_advice(python: Path, tmp_path: Path) -> None:
    with started(python, tmp_path) as address:
        found = await tool_servers(address, "error", "degraded")
        assert found["overall"] == "degraded"
        assert "MCP_SERVER_URL" in f"{found['error']} {found['hint']}"
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{address}/health")).status_code == 200
            assert (await client.get(f"{address}/conversations")).status_code == 200


async def test_mcp_server_url_selects_the_tool_server(python: Path, tmp_path: Path, counting: CountingProcess) -> None:
    named = {"MCP_SERVER_URL": counting.url, "MCP_SERVER_TOKEN": TOKEN, "MCP_GRANT_KEY": GRANT_KEY}
    with started(python, tmp_path, **named) as address:
        await tool_servers(address, "ok")
        async with httpx.AsyncClient() as client:
            listed = (await client.get(f"{address}/agent/tools")).json()
    assert "change_thing" in str(listed)


def test_engine_declares_every_imported_library() -> None:
    declared = tomllib.loads((ENGINE / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.split(r"[^A-Za-z0-9_-]", one)[0].lower().replace("_", "-") for one in declared}
    known = packages_distributions()
    missing = {
        name for name in imported() if names.isdisjoint(each.lower().replace("_", "-") for each in known.get(name, ()))
    }
    # The build hook of engine/ adds the shared package to wheels, with the version of the wheel.
    assert missing - {"skyflo_common"} == set()


def imported() -> set[str]:
    """Return the top-level packages that the engine imports, without the standard library and the engine."""
    found: set[str] = set()
    for file in (ENGINE / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"src"}
