"""Run engines as separate processes, each with a database and a tool server: start, kill, freeze and restart them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.counting_process import GRANT_KEY, TOKEN, CountingProcess
from tests.support.loopback import loopback
from tests.support.pooled_process import PooledPopen
from tests.support.ports import accepts, free_port
from tests.support.services import PROJECT, PostgresServer
from tests.support.waiting import PATIENCE

__all__ = ["LEASE", "SWEEP", "EngineFactory", "EngineProcess"]

LEASE = 2
SWEEP = 1


@dataclass
class EngineProcess:
    """One engine. After it died, `start` starts it again, on the same port and the same data."""

    environment: Mapping[str, str]
    log: Path
    database: str
    port: int = field(default_factory=free_port)
    process: PooledPopen | None = None
    failpoints: str = ""
    termination_requested: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    @property
    def killed(self) -> bool:
        """Return whether SIGKILL ended it."""
        return self.process is not None and self.process.poll() == -signal.SIGKILL

    @property
    def terminated_on_request(self) -> bool:
        """Return whether it shut down in order after SIGTERM; uvicorn then raises the signal again."""
        code = self.process.poll() if self.process is not None else None
        return self.termination_requested and code in (0, -signal.SIGTERM)

    def start(self, failpoints: str = "") -> None:
        """Start the engine and wait until it answers. `failpoints` has the format of `utils/failpoints.py`."""
        self.failpoints = failpoints
        armed = {"SKYFLO_TESTING": "1", "SKYFLO_FAILPOINTS": failpoints} if failpoints else {}
        command = [sys.executable, "-m", "tests.support.pooled_engine", str(self.port)]
        environment = {**self.environment, **armed}
        with self.log.open("ab") as log:
            self.process = PooledPopen(
                command, env=environment, cwd=PROJECT / "engine", stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
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
        if self.process is not None:
            self.process.send_signal(number)

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
        if not accepts(self.port):
            return False
        try:
            with loopback() as http:
                return http.get(f"{self.url}/health", timeout=30).status_code == 200
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class EngineFactory:
    """Create engines that use one scripted model. `sqlite` and `postgres` are migrated template databases."""

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
        return EngineProcess(environment, data / "engine.log", url or f"sqlite://{data / 'skyflo.sqlite3'}")

    def drop(self, engine: EngineProcess) -> None:
        """Kill the engine and remove its database."""
        engine.kill()
        if self.server is not None and engine.database.startswith("postgres"):
            self.server.drop_database(engine.database)
        shutil.rmtree(engine.log.parent, ignore_errors=True)
