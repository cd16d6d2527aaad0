"""Run engines as separate processes, each with a database and a tool server: start, kill, freeze and restart them."""

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

from tests.support.counting_process import GRANT_KEY, TOKEN, CountingProcess
from tests.support.loopback import loopback
from tests.support.ports import free_port
from tests.support.services import PROJECT, PostgresServer
from tests.support.waiting import PATIENCE

__all__ = ["LEASE", "SWEEP", "EngineFactory", "EnginePool", "EngineProcess", "open_engine_pool"]

LEASE = 2
SWEEP = 1


class EnginePool:
    """A handle on the process that forks engines (`engine_pool`), and the exit statuses that it has reported."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._ordering = threading.Lock()
        self._started: Queue[int] = Queue()
        self._ended: dict[int, int] = {}
        threading.Thread(target=self._read_answers, daemon=True).start()

    def fork(self, environment: Mapping[str, str], port: int, log: Path) -> int:
        """Start an engine and return its process id."""
        order = {"environment": dict(environment), "port": port, "log": str(log)}
        with self._ordering:
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
            try:
                return self._started.get(timeout=PATIENCE)
            except Empty:
                raise AssertionError("the engine pool did not answer") from None

    def status(self, pid: int) -> int | None:
        """Return its status as of `waitpid`, or None while it runs."""
        return self._ended.get(pid)

    def _read_answers(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            report = json.loads(line)
            if "status" in report:
                self._ended[report["pid"]] = report["status"]
            else:
                self._ended.pop(report["pid"], None)  # forget the status of an earlier process with the same id
                self._started.put(report["pid"])


@contextmanager
def open_engine_pool() -> Iterator[EnginePool]:
    """Open a pool; all of its engines end with the block."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "engine")}
    command = [sys.executable, "-m", "tests.support.engine_pool"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        try:
            yield EnginePool(process)
        finally:
            process.stdin.close()
            process.wait(timeout=PATIENCE)


@dataclass
class EngineProcess:
    """One engine. After it died, `start` starts it again, on the same port and the same data."""

    engine_pool: EnginePool
    environment: Mapping[str, str]
    log: Path
    database: str
    port: int = field(default_factory=free_port)
    pid: int = 0
    failpoints: str = ""
    termination_requested: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def alive(self) -> bool:
        return self.pid != 0 and self.engine_pool.status(self.pid) is None

    @property
    def killed(self) -> bool:
        """Return whether SIGKILL ended it."""
        return self.engine_pool.status(self.pid) == signal.SIGKILL

    @property
    def terminated_on_request(self) -> bool:
        """Return whether it shut down in order after SIGTERM; uvicorn then raises the signal again."""
        return self.termination_requested and self.engine_pool.status(self.pid) in (0, signal.SIGTERM)

    def start(self, failpoints: str = "") -> None:
        """Start the engine and wait until it answers. `failpoints` has the format of `utils/failpoints.py`."""
        self.failpoints = failpoints
        armed = {"SKYFLO_TESTING": "1", "SKYFLO_FAILPOINTS": failpoints} if failpoints else {}
        self.pid = self.engine_pool.fork({**self.environment, **armed}, self.port, self.log)
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if not self.alive:
                if failpoints and self.killed:
                    return
                raise AssertionError(f"the engine did not start; it said:\n{self.read_log()}")
            assert time.monotonic() < deadline, f"the engine did not answer in time; it said:\n{self.read_log()}"
            time.sleep(0.02)

    def signal(self, number: signal.Signals) -> None:
        self.termination_requested = self.termination_requested or number == signal.SIGTERM
        if self.alive:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL and wait until the process has ended."""
        self.signal(signal.SIGKILL)
        self.wait_until_gone()

    def wait_until_gone(self, within: float = PATIENCE) -> None:
        deadline = time.monotonic() + within
        while self.alive:
            assert time.monotonic() < deadline, f"the engine still lives; it said:\n{self.read_log()}"
            time.sleep(0.01)

    def read_log(self) -> str:
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def _answers(self) -> bool:
        try:
            with loopback() as http:
                return http.get(f"{self.url}/health", timeout=30).status_code == 200
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class EngineFactory:
    """Create engines that use one scripted model. `sqlite` and `postgres` are migrated template databases."""

    engine_pool: EnginePool
    model_url: str
    folder: Path
    sqlite: Path
    server: PostgresServer | None
    postgres: str

    def database(self, kind: str, data: Path) -> str | None:
        """Copy the migrated database. Returns the URL for PostgreSQL, None for the SQLite file in the folder."""
        if kind == "sqlite":
            shutil.copy(self.sqlite, data / "skyflo.sqlite3")
            return None
        assert self.server is not None
        return self.server.create_database(self.postgres)

    def engine(self, kind: str, counting: CountingProcess, **settings: str) -> EngineProcess:
        """Create an engine with an empty database of this kind and this tool server. It is not started yet."""
        data = Path(tempfile.mkdtemp(dir=self.folder))
        return self.replica(data, self.database(kind, data), counting, **settings)

    def replica(self, data: Path, url: str | None, counting: CountingProcess, **settings: str) -> EngineProcess:
        """Create an engine on this existing database."""
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
        return EngineProcess(
            self.engine_pool, environment, data / "engine.log", url or f"sqlite://{data / 'skyflo.sqlite3'}"
        )

    def drop(self, engine: EngineProcess) -> None:
        """Kill the engine and remove its database."""
        engine.kill()
        if self.server is not None and engine.database.startswith("postgres"):
            self.server.drop_database(engine.database)
        shutil.rmtree(engine.log.parent, ignore_errors=True)
