"""Time the health checks of several engines, in a process of its own that does nothing else."""

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from bench.processes import ROOT, Process

__all__ = ["Probe"]

INTERVAL = 0.01
TIMEOUT_SECONDS = 60
PATH = "/api/v1/health"


class Probe:
    """A context manager that runs the probe. Each engine is asked every 10 ms, on a persistent connection."""

    def __init__(self, engines: Sequence[Process]) -> None:
        self._ports = [str(engine.port) for engine in engines]

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "bench.health_probe", *self._ports]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def take(self) -> list[list[float]]:
        """Return the milliseconds of the checks since the last time, for each engine."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the probe was started without pipes")
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        samples: list[list[float]] = json.loads(self._process.stdout.readline())
        return samples


def _check_forever(port: int, samples: list[float]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    while True:
        began = time.perf_counter()
        try:
            connection.request("GET", PATH)
            connection.getresponse().read()
        except (OSError, http.client.HTTPException):
            connection.close()
        samples.append((time.perf_counter() - began) * 1000)
        time.sleep(INTERVAL)


def main(ports: Sequence[int]) -> None:
    samples: list[list[float]] = [[] for _ in ports]
    for port, of_port in zip(ports, samples, strict=True):
        threading.Thread(target=_check_forever, args=(port, of_port), daemon=True).start()
    for _ in sys.stdin:
        taken = [list(each) for each in samples]
        for each, of_port in zip(taken, samples, strict=True):
            del of_port[: len(each)]
        sys.stdout.write(json.dumps(taken) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main([int(port) for port in sys.argv[1:]])
