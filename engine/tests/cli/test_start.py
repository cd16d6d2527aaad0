"""A command starts fast because of what it does not import."""

import json
import subprocess
import sys

import pytest

from tests.support.terminal import Shell
from tests.support.waiting import PATIENCE

HEAVY = {"httpx", "rich.console", "fastapi", "litellm", "uvicorn", "tortoise", "src.api", "yaml", "asyncio"}
"""Not pydantic: Typer itself reads options by it."""

SPY = """\
import atexit, json, sys
from src.cli.main import main
atexit.register(lambda: sys.stderr.write("\\n" + json.dumps(sorted(sys.modules))))
sys.exit(main())
"""


def imported(shell: Shell, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", SPY, *arguments]
    done = subprocess.run(command, env=shell.environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["chat", "--help"], ["approvals", "--help"], ["chat", "--nonsense"], ["nonsense"]],
)
def test_help_version_and_wrong_use_import_nothing_heavy(shell: Shell, arguments: list[str]) -> None:
    assert imported(shell, *arguments) & HEAVY == set()


def test_asking_imports_neither_the_engine_nor_a_highlighter(shell: Shell) -> None:
    modules = imported(shell, "chat", "hello")
    assert "httpx" in modules
    assert modules & {"fastapi", "litellm", "src.api", "tortoise", "uvicorn", "click"} == set()


def test_the_version_is_told(shell: Shell) -> None:
    done = shell.run("--version")
    assert (done.code, done.out.split()[0]) == (0, "skyflo")


def test_help_names_every_command_and_the_exit_codes(shell: Shell) -> None:
    said = shell.run("--help").out
    for word in ("up", "chat", "runs", "approvals", "stop", "doctor", "login", "logout", "whoami", "130 stopped"):
        assert word in said


@pytest.mark.parametrize("address", ["ftp://host", "http://user:word@host", "host:8080", "http://host:99999999"])
def test_what_is_no_address_is_refused(shell: Shell, address: str) -> None:
    done = shell.run("whoami", "--server", address)
    assert done.code == 2
    assert "is not the address" in done.err
