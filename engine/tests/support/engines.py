"""Engines as processes of a test's own: started with a database and a tool server, killed, frozen, started again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, Queue

import httpx

from tests.support.counting import GRANT_KEY, TOKEN, Counting
from tests.support.services import PROJECT, PostgresServer, free_port
from tests.support.waiting import PATIENCE

__all__ = ["LEASE", "SWEEP", "Engine", "Forge", "Nursery", "loopback", "open_nursery"]

LEASE = 2
SWEEP = 1


def loopback() -> httpx.Client:
    """A client for this machine. It reads no environment: pytest writes to that while other threads run."""
    return httpx.Client(verify=False, trust_env=False, timeout=PATIENCE)  # noqa: S501 - nothing is encrypted here


class Nursery:
    """The process that forks engines (`engine_nursery`), and what it has told of those that ended."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._ordering = threading.Lock()
        self._born: Queue[int] = Queue()
        self._ended: dict[int, int] = {}
        threading.Thread(target=self._hear, daemon=True).start()

    def fork(self, environment: Mapping[str, str], port: int, log: Path) -> int:
        """Starts an engine; its process id."""
        order = {"environment": dict(environment), "port": port, "log": str(log)}
        with self._ordering:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            try:
                return self._born.get(timeout=PATIENCE)
            except Empty:
                raise AssertionError("the nursery of engines did not answer") from None

    def status(self, pid: int) -> int | None:
        """How it ended, as of `waitpid`; None while it lives."""
        return self._ended.get(pid)

    def _hear(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "status" in told:
                self._ended[told["pid"]] = told["status"]
            else:
                self._ended.pop(told["pid"], None)  # of an earlier process of this number
                self._born.put(told["pid"])


@contextmanager
def open_nursery() -> Iterator[Nursery]:
    """All engines end with the block."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "engine")}
    command = [sys.executable, "-m", "tests.support.engine_nursery"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        try:
            yield Nursery(process)
        finally:
            process.stdin.close()
            process.wait(timeout=PATIENCE)


@dataclass
class Engine:
    """One engine. `start` may be called again after it died: at the same port, on the same data."""

    nursery: Nursery
    environment: Mapping[str, str]
    log: Path
    database: str
    port: int = field(default_factory=free_port)
    pid: int = 0
    asked_to_end: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def alive(self) -> bool:
        return self.pid != 0 and self.nursery.status(self.pid) is None

    @property
    def killed(self) -> bool:
        """Whether SIGKILL was what ended it."""
        return self.nursery.status(self.pid) == signal.SIGKILL

    @property
    def ended_as_asked(self) -> bool:
        """Whether it ended in good order after it had been asked to: uvicorn then lets the signal have its way."""
        return self.asked_to_end and self.nursery.status(self.pid) in (0, signal.SIGTERM)

    def start(self, failpoints: str = "") -> None:
        """Returns when it answers. `failpoints` as in `utils/failpoints.py`."""
        armed = {"SKYFLO_TESTING": "1", "SKYFLO_FAILPOINTS": failpoints} if failpoints else {}
        self.pid = self.nursery.fork({**self.environment, **armed}, self.port, self.log)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if not self.alive:
                if failpoints and self.killed:
                    return
                raise AssertionError(f"the engine did not start; it said:\n{self.said()}")
            assert time.monotonic() < deadline, f"the engine did not answer in time; it said:\n{self.said()}"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self.asked_to_end = self.asked_to_end or number == signal.SIGTERM
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.signal(signal.SIGKILL)
        self.gone()

    def gone(self, within: float = PATIENCE) -> None:
        deadline = time.monotonic() + within
        while self.alive:
            assert time.monotonic() < deadline, f"the engine still lives; it said:\n{self.said()}"
            time.sleep(0.01)

    def said(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _answers(self) -> bool:
        try:
            with loopback() as http:
                return http.get(f"{self.url}/health", timeout=30).status_code == 200
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class Forge:
    """Makes engines that know one scripted model. `sqlite` is a migrated file and `postgres` a migrated database."""

    nursery: Nursery
    model_url: str
    folder: Path
    sqlite: Path
    server: PostgresServer | None
    postgres: str

    def database(self, kind: str, data: Path) -> str | None:
        """A copy of its own of the migrated database: the URL of PostgreSQL's, None for the file in the folder."""
        if kind == "sqlite":
            shutil.copy(self.sqlite, data / "skyflo.sqlite3")
            return None
        assert self.server is not None
        return self.server.create_database(self.postgres)

    def engine(self, kind: str, counting: Counting, **settings: str) -> Engine:
        """An engine, not started yet, on an empty database of this kind and this tool server."""
        data = Path(tempfile.mkdtemp(dir=self.folder))
        return self.replica(data, self.database(kind, data), counting, **settings)

    def replica(self, data: Path, url: str | None, counting: Counting, **settings: str) -> Engine:
        """An engine on this database."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(data),
            "SKYFLO_ENV_FILE": "",
            "LOCAL_MODE": "true",
            "RATE_LIMITING_ENABLED": "false",
            "LLM_TITLES": "false",
            "DATA_DIR": str(data),
            "LLM_MODEL": "openai/scripted",
            "LLM_HOST": self.model_url,
            "OPENAI_API_KEY": "a key of the tests",
            "MCP_SERVER_URL": counting.url,
            "MCP_SERVER_TOKEN": TOKEN,
            "MCP_GRANT_KEY": GRANT_KEY,
            "RUN_LEASE_SECONDS": str(LEASE),
            "RUN_SWEEP_SECONDS": str(SWEEP),
            "RUN_MAX_RESTARTS": "20",
            "POSTGRES_DATABASE_URL": url or "",
            **settings,
        }
        return Engine(self.nursery, environment, data / "engine.log", url or f"sqlite://{data / 'skyflo.sqlite3'}")

    def drop(self, engine: Engine) -> None:
        """Kills the engine and removes its database."""
        engine.kill()
        if self.server is not None and engine.database.startswith("postgres"):
            self.server.drop_database(engine.database)
        shutil.rmtree(engine.log.parent, ignore_errors=True)
