"""Start `python -m MODULE` in a fork of a process that has imported it already: `python_pool.py`.

All test processes of a run share one pool, which the first of them starts and which ends with the last of them.
"""

import atexit
import fcntl
import functools
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tests.support.python_pool import MAX_MESSAGE
from tests.support.services import PROJECT
from tests.support.waiting import PATIENCE, wait_until

__all__ = ["PooledPopen", "pooled_python", "pooled_run"]

_RUN: Final = "PYTEST_XDIST_TESTRUNUID"
_LAUNCHER: Final = Path(__file__).with_name("pooled_python.py")
_SETTINGS_OF_PYTHON: Final = {"PYTHON", "PYTHONUNBUFFERED", "PYTHONPATH", "PYTHONUTF8", "PYTHONHASHSEED"}
"""Variables that a fork follows, or that make no difference to it. With others a real interpreter is started."""


class PooledPopen(subprocess.Popen[Any]):
    """`subprocess.Popen` for `[sys.executable, "-m", MODULE, ..]`. The process is no child of this one.

    It is killed when this process ends. With `launch_children` its own Python children come from the pool too.
    """

    def __init__(self, command: Sequence[str], *, launch_children: bool = False, **options: Any) -> None:
        if list(command[:2]) != [sys.executable, "-m"]:
            raise ValueError(f"a pooled process runs a module of this Python, not {command[:3]}")
        self._python = pooled_python() if launch_children else sys.executable
        self._status: int | None = None
        self._receiving = threading.Lock()
        super().__init__(command, **options)

    def _execute_child(self, *arguments: Any) -> None:
        """Take the place of Popen's fork. `arguments` are those of CPython 3.11 to 3.13."""
        command, preexec_fn, pass_fds, cwd, env = (arguments[n] for n in (0, 2, 4, 5, 6))
        if preexec_fn or pass_fds:
            raise ValueError("a pooled process gets standard streams only, and runs nothing before its module")
        ends = (arguments[10], arguments[13], arguments[15])
        files = [number if end == -1 else end for number, end in enumerate(ends)]
        order = {
            "module": command[2],
            "arguments": list(command[3:]),
            "environment": dict(os.environ if env is None else env),
            "folder": os.fspath(cwd or os.getcwd()),  # noqa: PTH109 - as Popen does
            "files": [0, 1, 2],
            "own_session": arguments[21],
            "executable": self._python,
        }
        self._connection = order_process(order, files)
        self.pid = _receive(self._connection)["pid"]
        self._child_created = True
        self._close_pipe_fds(*arguments[10:16])  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        """Return the pid and the status, or (0, 0) while it runs and `wait_flags` forbid to wait."""
        if self._status is None and not wait_flags & os.WNOHANG:
            wait = select.poll()
            wait.register(self._connection, select.POLLIN)
            wait.poll()
        with self._receiving:
            if self._status is None:
                try:
                    self._status = _receive(self._connection, socket.MSG_DONTWAIT)["status"]
                except BlockingIOError:
                    return 0, 0
                self._connection.close()
        return self.pid, self._status

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)  # type: ignore[attr-defined]
        return self.returncode


def pooled_run(command: Sequence[str], **options: Any) -> "subprocess.CompletedProcess[Any]":
    """Run a command as `subprocess.run` does, in a fork of the pool. Takes its `input`, `timeout`, `capture_output`."""
    given, timeout = options.pop("input", None), options.pop("timeout", PATIENCE)
    if given is not None:
        options["stdin"] = subprocess.PIPE
    if options.pop("capture_output", False):
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    check = options.pop("check", False)
    changed = {name for name in options.get("env") or os.environ if name.startswith("PYTHON")} - _SETTINGS_OF_PYTHON
    start = subprocess.Popen if changed else PooledPopen
    with start(command, **options) as process:
        try:
            out, err = process.communicate(given, timeout=timeout)
        finally:
            process.kill()
    done = subprocess.CompletedProcess(command, process.returncode, out, err)
    if check:
        done.check_returncode()
    return done


def order_process(order: Mapping[str, Any], files: Sequence[int]) -> socket.socket:
    """Send an order to the pool. Returns the connection for the answers. A pool that was killed is replaced."""
    connection = _connect(_pool())
    if connection is None:
        _pool.cache_clear()
        connection = _connect(_pool())
    assert connection is not None, "the pool of Python processes has ended"
    socket.send_fds(connection, [json.dumps(order).encode()], list(files))
    return connection


def _receive(connection: socket.socket, flags: int = 0) -> dict[str, int]:
    message = connection.recv(MAX_MESSAGE, flags)
    if not message:
        raise AssertionError("the pool of Python processes has ended")
    answer: dict[str, int] = json.loads(message)
    return answer


@functools.cache
def _pool() -> str:
    """Return the socket of the pool that the processes of this run share. The pool lives as long as one of them."""
    folder = Path(tempfile.gettempdir()) / f"skyflo-pool-{os.environ.get(_RUN, os.getpid())}"
    folder.mkdir(mode=0o700, exist_ok=True)
    path = str(folder / "socket")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        connection = _connect(path) or _start_pool(path, folder / "log")
    connection.send(b"{}")
    atexit.register(connection.close)
    return path


def _connect(path: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        connection.connect(path)
    except OSError:  # it has not been started yet, or has ended
        connection.close()
        return None
    return connection


def _start_pool(path: str, log: Path) -> socket.socket:
    Path(path).unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.support.python_pool", path]
    paths = os.pathsep.join(str(PROJECT / folder) for folder in ("engine", "mcp/src", "sandbox/src", "common/src"))
    with log.open("ab") as output:
        started = subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    connection: list[socket.socket] = []

    def is_up() -> bool:
        assert started.poll() is None, log.read_text(errors="replace")[-3000:]
        connection.extend(filter(None, [_connect(path)]))
        return bool(connection)

    wait_until(is_up, "the pool of Python processes", PATIENCE)
    started.returncode = 0  # it may outlive this process, so there is no end to wait for
    return connection[0]


@functools.cache
def pooled_python() -> str:
    """Return a program that takes Python's place for children: it asks the pool for `-m MODULE`."""
    folder = Path(_pool()).parent
    launcher, real = folder / "python", folder / "real"
    if not launcher.exists():
        partial = folder / f"python.{os.getpid()}"
        interpreter = Path(sys.base_prefix) / "bin" / Path(sys.executable).resolve().name
        partial.write_text(f"#!{interpreter} -IS\n{_LAUNCHER.read_text()}")
        partial.chmod(0o700)
        real.unlink(missing_ok=True)
        real.symlink_to(sys.executable)
        partial.replace(launcher)
    return str(launcher)
