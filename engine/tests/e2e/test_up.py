"""Test `python -m src.api.up`, which `make up` runs: its output, its address and its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE, eventually

ENGINE = Path(__file__).parents[2]


class Up:
    """The process, its output so far, and the tool server that it started."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said = ""

    def until(self, part: str) -> str:
        """Read output until a line contains `part`; return the rest of that line."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if part in line:
                return line.partition(part)[2].strip()
        raise AssertionError(f"it ended without saying {part!r}:\n{self.said}")

    def children(self) -> list[int]:
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]

    def end(self, seconds: float) -> int:
        """Wait for the process to end and return its exit code."""
        return self.process.wait(timeout=seconds)


@contextmanager
def started(folder: Path, **environment: str) -> Iterator[Up]:
    given = {
        **os.environ,
        "SKYFLO_ENV_FILE": "",
        "DATA_DIR": str(folder),
        "PORT": "0",
        "PYTHONUNBUFFERED": "1",
        "SANDBOX": "none",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "src.api.up"],
        cwd=ENGINE,
        env=given | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    with ExitStack() as stack:
        stack.callback(process.wait, 10)
        stack.callback(process.kill)
        if process.stdout is not None:
            stack.enter_context(process.stdout)
        yield Up(process)


async def gone(pids: list[int]) -> None:
    """Wait until none of the processes exists."""
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), what="the end of the children")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Up, float, list[int]]]:
    """Start without configuration, ask for its health, and stop it with Ctrl-C."""
    with started(tmp_path_factory.mktemp("up")) as up:
        address = up.until("Skyflo is at ").split()[0]
        with urllib.request.urlopen(f"{address}/api/v1/health", timeout=PATIENCE) as response:  # noqa: S310
            assert json.load(response) == {"status": "ok"}
        children = up.children()
        began = time.monotonic()
        up.process.send_signal(signal.SIGINT)
        assert up.end(PATIENCE) == 0
        yield up, time.monotonic() - began, children


def test_startup_reports_missing_settings_with_advice(ended: tuple[Up, float, list[int]]) -> None:
    said = ended[0].said
    assert "set OPENAI_API_KEY, or LLM_HOST" in said
    assert "No cluster: ~/.kube/config does not exist. Set KUBECONFIG" in said
    assert "http://localhost:" in said


async def test_ctrl_c_stops_all_processes_within_seconds(ended: tuple[Up, float, list[int]]) -> None:
    _, seconds, children = ended
    assert seconds < 30
    assert children
    await gone(children)


async def test_kill_leaves_no_orphan_process(tmp_path: Path) -> None:
    with started(tmp_path) as up:
        up.until("Skyflo is at ")
        children = up.children()
        up.process.send_signal(signal.SIGKILL)
        up.end(PATIENCE)
        assert children
        await gone(children)


def test_discovered_cluster_is_named_and_read_only(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\ncurrent-context: production\n")
    with started(tmp_path, KUBECONFIG=str(kubeconfig), OPENAI_API_KEY="sk-canary-0123456789") as up:
        up.until("set CLUSTERS=production")
        assert f"Cluster   production ({kubeconfig})" in up.said
        assert "OPENAI_API_KEY" not in up.said
        assert "canary" not in up.said


def test_occupied_port_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with started(tmp_path, PORT=port) as up:
            up.until(f"PORT: {port} on 127.0.0.1 is taken by another program")
            assert up.end(PATIENCE) == 1
    assert "Traceback" not in up.said
