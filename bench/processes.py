"""Processes as the operating system sees them: started, asked what they use, and always ended."""

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

__all__ = ["START_WITHIN", "Process", "started", "until"]

START_WITHIN = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_HANDED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


@dataclass(frozen=True, slots=True)
class Process:
    """One process of ours that listens on `port` of 127.0.0.1 and writes what it says to `log`."""

    name: str
    popen: "subprocess.Popen[bytes]" = field(repr=False)
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cpu(self) -> float:
        """Seconds of processor time so far, in user and kernel, of all its threads and of none of its children."""
        stat = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS

    def resident(self) -> float:
        """Megabytes (10^6 bytes) of memory that it holds now."""
        return resident(self.popen.pid)

    def children(self) -> list[int]:
        found = Path(f"/proc/{self.popen.pid}/task/{self.popen.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def answers(self, path: str) -> bytes | None:
        """The body of a 200 at this path; None where there is none yet. Raises `RuntimeError` once it has ended."""
        if self.popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with code {self.popen.returncode}:\n{self.said()}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.read() if response.status == 200 else None
        except OSError:
            return None
        finally:
            connection.close()

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:].strip()

    def end(self) -> None:
        """Asks it to end, and kills it and what it started where it does not within five seconds."""
        if self.popen.poll() is None:
            self.popen.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.popen.wait(timeout=5)
        with suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait(timeout=5)


def started(
    name: str, module: str, arguments: Sequence[str], port: int, log: Path, environment: Mapping[str, str]
) -> Process:
    """`python ... -m module arguments`, started and not waited for, in a process group of its own."""
    given = {name: os.environ[name] for name in _HANDED_ON if name in os.environ} | dict(environment)
    flags, _, module = module.rpartition(" ")
    command = [sys.executable, *flags.split(), "-m", module, *arguments]
    with log.open("wb") as said:
        popen = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[1],
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Process(name, popen, port, log)


def resident(pid: int) -> float:
    """Megabytes (10^6 bytes) that the process holds now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"the process {pid} has ended")


def until(condition: Callable[[], object], what: str, within: float = START_WITHIN, every: float = 0.01) -> float:
    """Seconds until it holds. Raises `TimeoutError` when it does not in time."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > within:
            raise TimeoutError(f"{what}: not within {within:.0f} s")
        time.sleep(every)
    return time.perf_counter() - began
