"""Test that documented commands exist and work."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.services import PROJECT
from tests.support.waiting import PATIENCE

PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/**/*.md"), *PROJECT.glob("*/README.md")])


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def code(page: Path) -> str:
    """Return a page's code blocks and inline code, one per line."""
    parts = re.findall(r"```bash\n(.*?)```|`([^`\n]+)`", page.read_text(), re.DOTALL)
    return "\n".join(block or span for block, span in parts)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_named_make_target_exists(page: Path) -> None:
    named = {word for line in re.findall(r"^make ([a-z][a-z -]*)", code(page), re.MULTILINE) for word in line.split()}
    assert named <= targets()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_resolves(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_hatch_scripts_use_the_shared_environment() -> None:
    hatch = tomllib.loads((PROJECT / "engine" / "pyproject.toml").read_text())["tool"]["hatch"]["envs"]["default"]
    assert {"lint", "type-check", "format", "test", "test-cov"} <= hatch["scripts"].keys()
    assert (PROJECT / "engine" / hatch["path"]).resolve() == PROJECT / ".venv"


@pytest.mark.parametrize("folder", ["", "engine", "mcp"])
def test_uv_does_not_manage_the_projects(folder: str) -> None:
    settings = tomllib.loads((PROJECT / folder / "pyproject.toml").read_text())
    assert settings["tool"]["uv"]["managed"] is False
    assert not (PROJECT / folder / "uv.lock").exists()


@pytest.mark.processes
def test_uv_run_in_the_engine_uses_the_shared_environment() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    command = [
        Path(sys.executable).with_name("uv"),
        "run",
        "--offline",
        "python",
        "-c",
        "import sys; print(sys.prefix)",
    ]
    done = subprocess.run(
        command, cwd=PROJECT / "engine", env=environment, capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    expected = PROJECT / "engine" / ".venv"
    assert Path(done.stdout.strip()) == (expected if expected.exists() else PROJECT / ".venv")


def test_ci_runs_the_documented_commands() -> None:
    script = PROJECT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make --keep-going lint types test" in script.read_text()


@pytest.mark.processes
def test_environment_matches_the_lock() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "pip", "list", "--python", sys.executable, "--format", "json"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
    installed = {entry["name"]: entry["version"] for entry in json.loads(listed.stdout)}
    locked = set(
        re.findall(r"^([a-z0-9.-]+)==([^ ;\\]+)", lock, re.MULTILINE)
    )  # two versions, by marker, may be locked
    ours = {"skyflo-common", "skyflo-engine", "skyflo-sandbox", "skyflo-tools"}
    seeds = {"pip", "setuptools", "wheel"}  # present if `hatch run` created the environment
    assert {name for name, version in installed.items() if (name, version) not in locked} <= ours | seeds
