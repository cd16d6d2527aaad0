"""Start processes, read their CPU time and memory from the operating system, and end them."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

__all__ = [
    "ROOT",
    "START_TIMEOUT",
    "Process",
    "read_cpu_seconds",
    "read_resident_memory",
    "start_process",
    "wait_until",
]

ROOT = Path(__file__).parents[1]
START_TIMEOUT = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_INHERITED_VARIABLES = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Process:
    """A child process that listens on `port` of 127.0.0.1 and writes its output to `log`."""

    name: str
    popen: "subprocess.Popen[bytes]" = field(repr=False)
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu_seconds(self) -> float:
        """Return the CPU seconds used so far in user and kernel mode, without those of child processes."""
        return read_cpu_seconds(self.popen.pid)

    def run_and_wait_seconds(self) -> tuple[float, float]:
        """Return how long its main thread ran so far, and how long it was ready to run but had no core."""
        ran, waited, _ = Path(f"/proc/{self.popen.pid}/schedstat").read_text().split()
        return int(ran) / 1e9, int(waited) / 1e9

    def resident_memory(self) -> float:
        """Return its resident memory in megabytes (10^6 bytes)."""
        return read_resident_memory(self.popen.pid)

    def child_pids(self) -> list[int]:
        found = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def get_body(self, path: str) -> bytes | None:
        """GET a path and return the body of a 200, or None. Raises `RuntimeError` if the process has ended."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with code {self.popen.returncode}:\n{self.read_log()}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.read() if response.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")[-3000:].strip()

    def end(self) -> None:
        """Terminate the process; after five seconds kill its process group."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout=5)
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=5)


def start_process(
    name: str,
    module: str,
    arguments: Sequence[str],
    port: int,
    log: Path,
    environment: Mapping[str, str],
    checkout: Path = ROOT,
) -> Process:
    """Start `python ... -m module arguments` of a checkout in a new process group, without waiting for it."""
    variables = {name: os.environ[name] for name in _INHERITED_VARIABLES if name in os.environ} | dict(environment)
    flags, _, module = module.rpartition(" ")
    command = [_find_python(checkout), *flags.split(), "-m", module, *arguments]
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command,
            cwd=checkout,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(name, popen, port, log)


def _find_python(checkout: Path) -> str:
    """Return the interpreter of a checkout: this one, or that of the environment which `make env` has made there."""
    return sys.executable if checkout == ROOT else str(checkout / ".venv" / "bin" / "python")


def read_cpu_seconds(pid: int) -> float:
    """Return the CPU seconds that a process has used in user and kernel mode, without those of child processes."""
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICKS


def read_resident_memory(pid: int) -> float:
    """Return the resident memory of a process in megabytes (10^6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"the process {pid} has ended")


def wait_until(
    condition: Callable[[], object], description: str, timeout: float = START_TIMEOUT, interval: float = 0.01
) -> float:
    """Wait until the condition holds and return the seconds. Raises `TimeoutError`."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > timeout:
            raise TimeoutError(f"{description}: not within {timeout:.0f} s")
        time.sleep(interval)
    return time.perf_counter() - began
