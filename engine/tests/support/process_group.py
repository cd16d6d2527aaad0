"""Run `skyflo up` with several processes behind one port, and reach a chosen one of them."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import cast

import httpx

from tests.support.client import FollowedRun, RetryingClient
from tests.support.engines import EngineProcess
from tests.support.loopback import loopback
from tests.support.pooled_process import PooledPopen
from tests.support.ports import free_port, free_ports
from tests.support.product import ENGINE
from tests.support.waiting import PATIENCE, wait_until

__all__ = ["ProcessGroup", "run_process_group"]

MAX_CONNECTIONS = 60
"""Connections that are opened in search of one process: two processes get half of them each."""

_STARTED = re.compile(r"engine process (\d+) has pid (\d+)")


@dataclass
class ProcessGroup:
    """The parent process with its engine processes. A client takes it for one engine that is always there."""

    parent: "subprocess.Popen[bytes]"
    log: Path
    port: int
    metrics_port: int
    count: int
    clients: list[RetryingClient] = field(default_factory=list)

    alive = True
    killed = terminated_on_request = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")

    def pid_of(self, number: int) -> int:
        """Return the pid of the process that has this number now."""
        return {int(which): int(pid) for which, pid in _STARTED.findall(self.read_log())}[number]

    def wait_until_listening(self) -> None:
        """Wait until all processes accept connections: each serves its metrics from then on."""
        for number in range(1, self.count + 1):
            wait_until(partial(self._serves_metrics, number), f"process {number}; {self.log}", PATIENCE)
        wait_until(lambda: "Skyflo is at" in self.read_log(), "the address")

    def _serves_metrics(self, number: int) -> bool:
        assert self.parent.poll() is None, self.read_log()
        try:
            return bool(self.read_metric(number, "skyflo_database_readable"))
        except httpx.TransportError:
            return False

    def read_metric(self, number: int, name: str) -> float:
        """Return the value of this metric, all labels added up, as the process reports it."""
        with loopback() as http:
            text = http.get(f"http://127.0.0.1:{self.metrics_port + number - 1}/metrics").text
        return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if re.match(rf"{name}[ {{]", line))

    def new_run(self, text: str, number: int | None = None) -> FollowedRun:
        """Return a message to send, by a client whose first connection is to this process if one is given."""
        client = RetryingClient(cast(EngineProcess, self))
        if number is not None:
            client.http = self.connect(number)
        self.clients.append(client)
        return FollowedRun(client, text)

    def connect(self, number: int) -> httpx.Client:
        """Return a client with a persistent connection to this process."""
        wanted = self.pid_of(number)
        for _ in range(MAX_CONNECTIONS):
            http = loopback()
            if _find_server(http.get(f"{self.url}/health"), self.port) == wanted:
                return http
            http.close()
        raise AssertionError(f"none of {MAX_CONNECTIONS} connections reached process {number}")


def _find_server(answer: httpx.Response, port: int) -> int | None:
    """Return the pid that holds the other end of the answer's connection, from the kernel's table of sockets."""
    _, client_port = answer.extensions["network_stream"].get_extra_info("client_addr")
    ends = f":{port:04X} 0100007F:{client_port:04X} "
    row = next(line for line in Path("/proc/net/tcp").read_text().splitlines() if ends in line)
    socket = f"socket:[{row.split()[9]}]"
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(entry.readlink()) == socket:
                return int(entry.parts[2])
        except OSError:
            continue  # a process or file that has gone, or another account's
    return None


@contextmanager
def run_process_group(folder: Path, environment: Mapping[str, str], count: int = 2) -> Iterator[ProcessGroup]:
    """Start the processes and wait until all of them listen. They have ended when the block ends."""
    port, metrics_port = free_port(), free_ports(count)
    log = folder / "processes.log"
    ports = {"PORT": str(port), "METRICS_ADDRESS": f"127.0.0.1:{metrics_port}", "ENGINE_PROCESSES": str(count)}
    with log.open("ab") as output:
        parent = PooledPopen(
            [sys.executable, "-m", "src.api.up"],
            cwd=ENGINE,
            env={**environment, **ports, "PYTHONUNBUFFERED": "1", "SANDBOX": "none"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    group = ProcessGroup(parent, log, port, metrics_port, count)
    try:
        group.wait_until_listening()
        yield group
    finally:
        for client in group.clients:
            client.close()
        parent.send_signal(signal.SIGKILL)
        parent.wait(PATIENCE)
