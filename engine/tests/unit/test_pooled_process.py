"""Forked programs of the tests look like started ones: `pooled_process.py`."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import pooled_process
from tests.support.pooled_process import PooledPopen, order_process, pooled_python, pooled_run
from tests.support.services import PROJECT
from tests.support.waiting import is_alive, wait_until

pytestmark = pytest.mark.processes

PROGRAM = """\
import json, os, signal, sys
facts = {"arguments": sys.argv[1:], "folder": os.getcwd(), "pid": os.getpid(), "word": os.environ.get("WORD")}
facts["files"] = len(os.listdir("/proc/self/fd"))
print(json.dumps(facts | {"typed": sys.stdin.read(), "path": os.environ.get("PATH")}), flush=True)
if "wait" in sys.argv:
    signal.pause()
print("bad", file=sys.stderr)
sys.exit(3)
"""
PARENT = """\
import subprocess, sys
from tests.support.pooled_process import PooledPopen
process = PooledPopen([sys.executable, "-m", "program", "wait"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
process.stdout.readline()
print(process.pid, flush=True)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def command(*arguments: str, python: str = sys.executable) -> list[str]:
    return [python, "-m", "program", *arguments]


@pytest.mark.parametrize("by_path", [False, True], ids=["by Popen", "by a path"])
def test_fork_has_arguments_streams_environment_and_exit_code_of_its_command(folder: Path, by_path: bool) -> None:
    run = subprocess.run if by_path else pooled_run
    python = pooled_python() if by_path else sys.executable
    done = run(
        command("a", "b c", python=python),
        env={"WORD": "é"},
        cwd=folder,
        input="typed",
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (3, "bad\n")
    assert said["arguments"] == ["a", "b c"]
    assert (said["folder"], said["word"], said["typed"], said["path"]) == (str(folder), "é", "typed", None)
    assert said["files"] <= 4, "three streams, and the folder that it lists"


@pytest.mark.parametrize("by_path", [False, True], ids=["by Popen", "by a path"])
def test_fork_ends_by_the_signal_that_is_sent_to_it(folder: Path, by_path: bool) -> None:
    start = subprocess.Popen if by_path else PooledPopen
    python = pooled_python() if by_path else sys.executable
    for number in (signal.SIGTERM, signal.SIGKILL):
        with start(
            command("wait", python=python), cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            said = json.loads(process.stdout.readline())
            assert by_path or said["pid"] == process.pid
            assert process.poll() is None
            process.send_signal(number)
        assert process.returncode == -number
        wait_until(lambda pid=said["pid"]: not is_alive(pid), "the end of the fork")


def test_forks_end_with_the_process_that_asked_for_them(folder: Path) -> None:
    environment = {"PYTHONPATH": f"{PROJECT / 'engine'}:{folder}", "PATH": ""}
    asked = subprocess.run(
        [sys.executable, "-c", PARENT], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    wait_until(lambda: not is_alive(int(asked.stdout)), "the end of the fork")


def test_pool_outlives_clients_that_send_nonsense_or_do_not_wait(folder: Path) -> None:
    order = {"module": "program", "arguments": ["wait"], "environment": {}, "folder": str(folder)}
    order |= {"files": [], "own_session": False, "executable": sys.executable}
    for _ in range(20):
        order_process(order, []).close()
        with order_process({}, []) as nonsense:
            nonsense.send(b"{")
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as wrong:
            wrong.connect(str(Path(pooled_python()).with_name("socket")))
            wrong.send(b"{")
    assert pooled_run(command(), cwd=folder, input="", capture_output=True).returncode == 3


def test_killed_pool_is_replaced(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_XDIST_TESTRUNUID", f"of-one-test-{os.getpid()}")
    pooled_process._pool.cache_clear()
    try:
        assert pooled_run(command(), cwd=folder, input="").returncode == 3
        subprocess.run(["pkill", "-KILL", "-f", pooled_process._pool()], check=True)
        wait_until(_is_pool_gone, "the end of the pool")
        assert pooled_run(command(), cwd=folder, input="").returncode == 3
    finally:
        pooled_process._pool.cache_clear()


def _is_pool_gone() -> bool:
    connection = pooled_process._connect(pooled_process._pool())
    if connection is not None:
        connection.close()
    return connection is None


def test_only_modules_of_this_python_come_from_the_pool() -> None:
    with pytest.raises(ValueError, match="a module of this Python"):
        PooledPopen(["true"])
