"""Test that commands start without heavy imports, and test help and addresses."""

import json
import subprocess
import sys

import pytest

from tests.support.terminal import Shell
from tests.support.waiting import PATIENCE

HEAVY = {"httpx", "rich.console", "fastapi", "litellm", "uvicorn", "tortoise", "src.api", "yaml", "asyncio"}
"""Pydantic is not listed, since Typer imports it."""

SPY = """\
import atexit, json, sys
from src.cli.main import main
atexit.register(lambda: sys.stderr.write("\\n" + json.dumps(sorted(sys.modules))))
sys.exit(main())
"""


def list_imports(shell: Shell, *arguments: str) -> set[str]:
    command = [sys.executable, "-c", SPY, *arguments]
    done = subprocess.run(command, env=shell.environment, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["--version"], ["chat", "--help"], ["approvals", "--help"], ["chat", "--nonsense"], ["nonsense"]],
)
def test_help_version_and_usage_errors_import_nothing_heavy(shell: Shell, arguments: list[str]) -> None:
    assert list_imports(shell, *arguments) & HEAVY == set()


def test_chat_imports_neither_the_engine_nor_a_highlighter(shell: Shell) -> None:
    modules = list_imports(shell, "chat", "hello")
    assert "httpx" in modules
    assert modules & {"fastapi", "litellm", "src.api", "tortoise", "uvicorn", "click"} == set()


def test_version_is_printed(shell: Shell) -> None:
    done = shell.run("--version")
    assert (done.code, done.out.split()[0]) == (0, "skyflo")


def test_help_names_every_command_and_the_exit_codes(shell: Shell) -> None:
    output = " ".join(shell.run("--help").out.split())
    for word in ("up", "chat", "runs", "approvals", "stop", "doctor", "login", "logout", "whoami", "130 stopped"):
        assert word in output


@pytest.mark.parametrize("address", ["ftp://host", "http://user:word@host", "host:8080", "http://host:99999999"])
def test_invalid_address_is_refused(shell: Shell, address: str) -> None:
    done = shell.run("whoami", "--server", address)
    assert done.code == 2
    assert "is not the address" in done.err
