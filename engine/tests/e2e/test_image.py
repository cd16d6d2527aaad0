"""Test the container images: build them, and run them with a read-only root on a real PostgreSQL and Redis.

They take minutes to build, from Debian, PyPI and npm, so they run only where TEST_IMAGE=1 is set.
"""

import os
import re
import secrets
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from tests.support.image_store import PARTS, ImageStore, Part
from tests.support.images import Container, Image, open_image
from tests.support.ports import free_port
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually, wait_until

pytestmark = [
    pytest.mark.skipif(os.environ.get("TEST_IMAGE") != "1", reason="builds images: set TEST_IMAGE=1"),
    pytest.mark.timeout(1_800),
]
MAX_BYTES: dict[Part, int] = {"engine": 450_000_000, "tools": 240_000_000}
PROGRAMS: dict[Part, set[str]] = {"engine": {"aerich", "skyflo"}, "tools": {"helm", "skyflo-mcp"}}


Images = Mapping[Part, Image]


@pytest.fixture(scope="module")
def images(image_store: ImageStore) -> Images:
    return {part: open_image(image_store, part) for part in PARTS}


@pytest.mark.parametrize("part", PARTS)
def test_image_holds_no_shell_and_nothing_that_changes_accounts(images: Images, part: Part) -> None:
    root = images[part].root
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    names = {path.name for path in files if path.stat().st_mode & stat.S_IXUSR and path.parent.name in ("bin", "sbin")}
    assert names & {"sh", "bash", "dash", "apt", "dpkg", "perl", "pip", "uv", "curl"} == set()
    assert PROGRAMS[part] <= names
    assert [path for path in files if path.stat().st_mode & (stat.S_ISUID | stat.S_ISGID)] == []
    writable = {str(path.relative_to(root)) for path in root.rglob("*") if _is_writable_by_others(path)}
    assert writable <= {"tmp"}


@pytest.mark.parametrize("part", PARTS)
def test_image_stays_small(images: Images, part: Part) -> None:
    assert images[part].size <= MAX_BYTES[part]


def test_image_of_the_tool_server_has_a_helm_that_runs(images: Images, tmp_path: Path) -> None:
    said = images["tools"].run(tmp_path / "data", "helm", "version", "--short")
    assert re.match(r"v4\.\d+\.\d+", said.stdout), said.stderr


@pytest.mark.parametrize(("part", "variable"), [("engine", "JWT_SECRET"), ("tools", "SKYFLO_TOOLS_TOKEN")])
def test_image_refuses_to_start_without_secrets_and_says_which(
    images: Images, part: Part, variable: str, tmp_path: Path
) -> None:
    settings = images[part].settings
    said = images[part].run(tmp_path / "data", *settings.entrypoint, *settings.cmd)
    assert said.returncode != 0
    assert variable in said.stdout + said.stderr


@pytest.fixture
async def engine(
    images: Images, tmp_path: Path, postgres_url: str, redis_url: str, model: ScriptedModel
) -> AsyncIterator[tuple[Container, str]]:
    """Migrate a PostgreSQL database, start both images, and wait until the engine has the list of tools."""
    port, tools_port = free_port(), free_port()
    token, key = secrets.token_hex(32), secrets.token_hex(32)
    settings = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "JWT_SECRET": secrets.token_hex(32),
        "CREDENTIALS_KEY": secrets.token_hex(32),
        "POSTGRES_DATABASE_URL": postgres_url,
        "REDIS_URL": redis_url,
        "MCP_SERVER_URL": f"http://127.0.0.1:{tools_port}/mcp",
        "MCP_SERVER_TOKEN": token,
        "MCP_GRANT_KEY": key,
        "LLM_MODEL": "openai/scripted",
        "LLM_HOST": model.url,
        "OPENAI_API_KEY": "sk-scripted",
    }
    of_tools = {
        "SKYFLO_TOOLS_HOST": "127.0.0.1",
        "SKYFLO_TOOLS_PORT": str(tools_port),
        "SKYFLO_TOOLS_TOKEN": token,
        "SKYFLO_TOOLS_GRANT_KEY": key,
    }
    migrated = images["engine"].run(tmp_path / "engine", "aerich", "upgrade", **settings)
    assert migrated.returncode == 0, migrated.stderr
    assert "applied" in migrated.stdout
    async with AsyncExitStack() as stack:
        tools = stack.enter_context(images["tools"].start(tmp_path / "tools", tmp_path / "tools.log", **of_tools))
        started = stack.enter_context(images["engine"].start(tmp_path / "engine", tmp_path / "engine.log", **settings))
        client = await stack.enter_async_context(httpx.AsyncClient())
        address = f"http://127.0.0.1:{port}"

        async def has_tools() -> bool:
            for container in (tools, started):
                assert container.process.poll() is None, container.log_text
            try:
                ready = (await client.get(f"{address}/api/v1/health/ready")).json()
            except httpx.TransportError:
                return False
            states = {one["name"]: one["state"] for one in ready["dependencies"]}
            return ready["status"] != "error" and states["tool servers"] == "ok"

        await eventually(has_tools, what="the list of tools")
        yield started, address


async def test_engine_serves_the_page_is_healthy_and_ends_on_sigterm(
    engine: tuple[Container, str], images: Images, tmp_path: Path
) -> None:
    container, address = engine
    async with httpx.AsyncClient() as client:
        page = await client.get(address, headers={"accept": "text/html"})
        assert page.status_code == 200
        assert "<html" in page.text
        assert (await client.get(f"{address}/api/v1/agent/tools")).status_code == 401  # not in local mode
    image = images["engine"]
    command = [one.replace(":8080", f":{address.rpartition(':')[2]}") for one in image.health_check]
    assert command != image.health_check
    assert image.run(tmp_path / "probe", *command).returncode == 0
    assert container.terminate() == 143, container.log_text
    assert image.run(tmp_path / "probe", *command).returncode == 1
    assert "Traceback" not in container.log_text


@pytest.mark.parametrize(("part", "variable"), [("engine", "JWT_SECRET"), ("tools", "SKYFLO_TOOLS_TOKEN")])
def test_image_ends_on_a_sigterm_during_its_start(images: Images, part: Part, variable: str, tmp_path: Path) -> None:
    """The kernel drops the signal for a process 1 that has no handler yet."""
    settings = {variable: secrets.token_hex(32), "PORT": str(free_port()), "SKYFLO_TOOLS_PORT": str(free_port())}
    with images[part].start(tmp_path / "data", tmp_path / "log", **settings) as started:
        wait_until(lambda: started.handles_sigterm, "the handler for SIGTERM")
        assert started.terminate() == 143, started.log_text


def _is_writable_by_others(path: Path) -> bool:
    return not path.is_symlink() and bool(path.stat().st_mode & stat.S_IWOTH)
