"""The processes of a run of benchmarks: each is started when first asked for, and all end with the stage."""

from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from bench.client import Client
from bench.processes import Process, started, until
from bench.words import SCRIPT
from tests.support import services
from tests.support.counting import GRANT_KEY, TOKEN, Counting
from tests.support.services import free_port

__all__ = ["API", "CHAT", "Stage"]

API = "/api/v1"
CHAT = f"{API}/agent/chat"


class Stage:
    """Used as a context. Engines run in local mode on SQLite in folders of their own, as `make up` starts them."""

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
        """The scripted model, in a process of its own."""
        script = self._folder / "script.json"
        script.write_text(SCRIPT.model_dump_json(exclude_defaults=True))
        port = free_port()
        model = self._start(
            "model", "tests.support.scripted_model", ["--port", str(port), "--script", str(script)], port
        )
        until(lambda: model.answers("/v1/models"), "the scripted model")
        return model

    @cached_property
    def tools(self) -> Counting:
        """A tool server whose tools do next to nothing."""
        folder = self._folder / "tools"
        folder.mkdir()
        counting = Counting(folder)
        self._stack.callback(counting.close)
        counting.start()
        return counting

    @cached_property
    def engine(self) -> Process:
        """A warm engine: everything loaded, and asked once."""
        engine = self.new_engine()
        self.warm(engine)
        return engine

    @cached_property
    def floor(self) -> Process:
        """The bare pass-through."""
        return self.new_floor()

    def new_floor(self, *flags: str) -> Process:
        port = free_port()
        model = f"{self.model.url}/v1"
        floor = self._start("floor", "bench.floor", ["--port", str(port), "--model", model, *flags], port)
        until(lambda: floor.answers("/health"), "the pass-through")
        return floor

    @cached_property
    def postgres(self) -> services.PostgresServer:
        """A PostgreSQL of the benchmarks' own."""
        return self._stack.enter_context(services.postgres())

    def new_floor_of_lists(self, database: str) -> Process:
        port = free_port()
        floor = self._start("floor", "bench.floor_lists", ["--port", str(port), "--database", database], port)
        until(lambda: floor.answers("/health"), "the floor of lists")
        return floor

    def new_engine(self, flags: str = "", *, child: bool = False, **settings: str) -> Process:
        """An engine on an empty folder, just started. `child`: with the real tool server as its child."""
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
        return self._start("engine", f"{flags} src.api.up", [], port, environment | settings)

    def new_tool_server(self) -> Process:
        """The real tool server, started as the engine starts it, without a cluster."""
        port = free_port()
        environment = {
            "SKYFLO_TOOLS_PORT": str(port),
            "SKYFLO_TOOLS_MODE": "engine",
            "SKYFLO_TOOLS_GRANT_KEY": GRANT_KEY,
            "SKYFLO_TOOLS_DATA_DIR": str(self.new_folder()),
            "PYTHONUNBUFFERED": "1",
        }
        return self._start("tool server", "skyflo_tools", [], port, environment)

    def warm(self, engine: Process) -> None:
        """Returns when the engine has loaded everything, and has been asked twice."""
        starting = b'"starting"'
        until(lambda: starting not in (engine.answers(f"{API}/health/ready") or starting), "a warm engine", every=0.1)
        with Client(engine.url) as client:
            for _ in range(2):
                client.chat(CHAT, "hello")

    def end(self, process: Process) -> None:
        process.end()

    def _start(
        self, name: str, module: str, arguments: list[str], port: int, environment: dict[str, str] | None = None
    ) -> Process:
        log = self.new_folder() / "log"
        process = started(name, module, arguments, port, log, environment or {})
        self._stack.callback(process.end)
        return process

    def new_folder(self) -> Path:
        """An empty one, removed with the stage."""
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        return folder
