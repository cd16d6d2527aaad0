"""Start the processes that benchmarks need, each on first use, and end them with the harness."""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from bench.client import Client
from bench.health_probe import Probe
from bench.processes import ROOT, Process, start_process, wait_until
from bench.text import SCRIPT
from tests.support import services
from tests.support.counting_process import GRANT_KEY, TOKEN, CountingProcess
from tests.support.model_script import Script
from tests.support.ports import free_port

__all__ = ["API", "CHAT", "Harness"]

API = "/api/v1"
CHAT = f"{API}/agent/chat"


class Harness:
    """A context manager that starts processes. Engines run in local mode on SQLite, each in its own folder.

    The engines are those of `checkout`, whatever its version; all other processes are of this one.
    """

    def __init__(self, checkout: Path = ROOT) -> None:
        self._checkout = checkout

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        self._folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True)))
        self._number = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @cached_property
    def model(self) -> Process:
        """The scripted model, in a separate process."""
        return self.new_model(SCRIPT)

    def new_model(self, script: Script) -> Process:
        file = self.new_folder() / "script.json"
        file.write_text(script.model_dump_json(exclude_defaults=True))
        port = free_port()
        model = self._start("model", "tests.support.scripted_model", ["--port", str(port), "--script", str(file)], port)
        wait_until(lambda: model.get_body("/v1/models"), "the scripted model")
        return model

    @cached_property
    def tools(self) -> CountingProcess:
        """A tool server whose tools do almost no work."""
        folder = self._folder / "tools"
        folder.mkdir()
        counting = CountingProcess(folder)
        self._stack.callback(counting.close)
        counting.start()
        return counting

    @cached_property
    def engine(self) -> Process:
        """A warm engine, which has loaded everything and answered two chats."""
        engine = self.new_engine()
        self.warm_up(engine)
        return engine

    @cached_property
    def floor(self) -> Process:
        """The application that forwards the model's stream."""
        return self.new_streaming_floor()

    def new_streaming_floor(self, *flags: str) -> Process:
        port = free_port()
        model = f"{self.model.url}/v1"
        floor = self._start("floor", "bench.streaming_floor", ["--port", str(port), "--model", model, *flags], port)
        wait_until(lambda: floor.get_body("/health"), "the pass-through")
        return floor

    @cached_property
    def postgres(self) -> services.PostgresServer:
        """A PostgreSQL server for the benchmarks."""
        return self._stack.enter_context(services.postgres())

    @cached_property
    def redis(self) -> services.RedisServer:
        """A Redis server for the benchmarks."""
        return self._stack.enter_context(services.redis_server())

    def new_lists_floor(self, database: str) -> Process:
        port = free_port()
        floor = self._start("floor", "bench.lists_floor", ["--port", str(port), "--database", database], port)
        wait_until(lambda: floor.get_body("/health"), "the floor of lists")
        return floor

    def new_engine(self, flags: str = "", *, child: bool = False, **settings: str) -> Process:
        """Start an engine on an empty folder. With `child` it starts the real tool server."""
        data, port = self.new_folder(), free_port()
        environment = {
            "SKYFLO_ENV_FILE": "",
            "PYTHONUNBUFFERED": "1",
            "DATA_DIR": str(data),
            "PORT": str(port),
            "LLM_MODEL": "openai/scripted",
            "LLM_HOST": f"{self.model.url}/v1",
            "OPENAI_API_KEY": "a key of the benchmarks",
            "RATE_LIMITING_ENABLED": "false",
            "LLM_TITLES": "false",
            "SANDBOX": "none",
        }
        if not child:
            environment |= {
                "MCP_SERVER_URL": self.tools.url,
                "MCP_SERVER_TOKEN": TOKEN,
                "MCP_GRANT_KEY": GRANT_KEY,
            }
        return self._start("engine", f"{flags} src.api.up", [], port, environment | settings, self._checkout)

    @cached_property
    def cluster(self) -> services.Cluster:
        """A real API server. Raises `UnavailableError` where there is none."""
        return self._stack.enter_context(services.cluster())

    def new_tool_server(self, **settings: str) -> Process:
        """Start the real tool server as the engine does, by default without a cluster."""
        port = free_port()
        environment = {
            "SKYFLO_TOOLS_PORT": str(port),
            "SKYFLO_TOOLS_MODE": "engine",
            "SKYFLO_TOOLS_GRANT_KEY": GRANT_KEY,
            "SKYFLO_TOOLS_DATA_DIR": str(self.new_folder()),
            "PYTHONUNBUFFERED": "1",
        }
        return self._start("tool server", "skyflo_tools", [], port, environment | settings)

    def warm_up(self, engine: Process) -> None:
        """Wait until the engine has loaded everything, then send two chats."""
        starting = b'"starting"'
        wait_until(
            lambda: starting not in (engine.get_body(f"{API}/health/ready") or starting), "a warm engine", interval=0.1
        )
        with Client(engine.url) as client:
            for _ in range(2):
                client.chat(CHAT, "hello")

    def start_probe(self, *engines: Process) -> Probe:
        """Start the process that times the health checks of these engines."""
        return self._stack.enter_context(Probe(engines))

    def create_database(self) -> str:
        """Create a PostgreSQL database with the tables of the engines' version. Returns its URL."""
        url = self.postgres.create_database()
        environment = {"SKYFLO_ENV_FILE": "", "POSTGRES_DATABASE_URL": url}
        migration = self._start("migration", "src.api.migrate", ["upgrade"], 0, environment, self._checkout)
        wait_until(lambda: migration.popen.poll() is not None, "the migrations")
        if migration.popen.returncode:
            raise RuntimeError(f"the migrations failed:\n{migration.read_log()}")
        return url

    def _start(
        self,
        name: str,
        module: str,
        arguments: list[str],
        port: int,
        environment: dict[str, str] | None = None,
        checkout: Path = ROOT,
    ) -> Process:
        log = self.new_folder() / "log"
        process = start_process(name, module, arguments, port, log, environment or {}, checkout)
        self._stack.callback(process.end)
        return process

    def new_folder(self) -> Path:
        """Create an empty folder, removed with the harness."""
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        return folder
