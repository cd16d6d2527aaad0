"""The installation of the soak: three engines behind a load balancer, and what they depend on; all of it can break."""

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness import Harness
from bench.processes import Process, start_process, wait_until
from bench.soak_people import LONG_ANSWER
from src.api.adapters.store.migrations import migrate
from tests.support.breakable import BreakableService, breakable_postgres, breakable_redis
from tests.support.counting_process import GRANT_KEY, TOKEN, CountingProcess
from tests.support.model_script import Call, Reply, Rule, Script, Step, When
from tests.support.ports import free_port
from tests.support.services import database_name
from tests.support.tcp_proxy import TcpProxy, open_tcp_proxy

__all__ = ["Engine", "SoakSite", "open_site"]

ENGINES = 3
RESTART_SECONDS = 120.0
FROZEN_SECONDS = 10.0
INTERNAL_ERROR = "action=http.fault"
MAX_LINES = 200
_LOG_ENTRY = re.compile(r"\d{4}-\d\d-\d\d ")
SCRIPT = Script(
    rules=[
        Rule(when=When(user="^soak$"), reply=Reply(steps=[Step(text=LONG_ANSWER, delay=0.5)])),
        Rule(
            when=When(user=r"set (?P<name>[\w-]+)", results=0),
            reply=Reply(steps=[Step(calls=[Call(name="change_thing", arguments={"name": "${name}", "value": "1"})])]),
        ),
        Rule(reply=Reply(steps=[Step(text="That is that.", pieces=3)])),
    ]
)


@dataclass
class Engine:
    """One engine, which starts again on the same port."""

    name: str
    environment: Mapping[str, str]
    port: int
    folder: Path
    process: Process | None = None
    logs: int = 0

    def start(self) -> None:
        self.logs += 1
        log = self.folder / f"{self.name}-{self.logs}.log"
        self.process = start_process(self.name, "src.api.up", [], self.port, log, self.environment)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        process = self.process
        assert process is not None
        wait_until(lambda: process.get_body("/api/v1/health/ready"), f"a ready {self.name}", RESTART_SECONDS, 0.1)

    def kill(self) -> None:
        assert self.process is not None
        self.process.popen.kill()
        self.process.popen.wait()

    def terminate(self) -> int:
        """Ask it to end, and return its exit code."""
        assert self.process is not None
        self.process.popen.terminate()
        return self.process.popen.wait(RESTART_SECONDS)

    def end(self) -> None:
        if self.process is not None:
            self.process.end()

    def read_internal_errors(self) -> Iterator[str]:
        """Yield the log's lines about each request that failed inside the engine."""
        for log in sorted(self.folder.glob(f"{self.name}-*.log")):
            lines: list[str] = []
            for line in log.read_text(errors="replace").splitlines():
                if _LOG_ENTRY.match(line):
                    if lines:
                        yield "\n".join(lines)
                    lines = [line] if INTERNAL_ERROR in line else []
                elif lines and len(lines) < MAX_LINES:
                    lines.append(line)
            if lines:
                yield "\n".join(lines)


@dataclass
class SoakSite:
    """The first engine is never ended, so that its memory can be measured. `database` leads past the proxy."""

    engines: list[Engine]
    balancer: TcpProxy
    postgres: BreakableService
    redis: BreakableService
    tools: CountingProcess
    database: str
    faults: Mapping[str, Callable[[], None]] = field(init=False)

    def __post_init__(self) -> None:
        self.faults = {
            "engine killed": lambda: self._kill(self.engines[1]),
            "Redis restarted": lambda: self.redis.break_off("restart"),
            "tool server killed": self._restart_tools,
            "PostgreSQL restarted": lambda: self.postgres.break_off("restart"),
            "engine stopped in order": lambda: self._terminate(self.engines[2]),
            "Redis crashed": lambda: self._break(self.redis),
            "PostgreSQL crashed": lambda: self._break(self.postgres),
            "PostgreSQL frozen for ten seconds": self._freeze_postgres,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.balancer.port}/api/v1"

    def _kill(self, engine: Engine) -> None:
        engine.kill()
        engine.start()

    def _terminate(self, engine: Engine) -> None:
        code = engine.terminate()
        if code not in (0, -15, 143):
            raise RuntimeError(f"{engine.name} ended with code {code}")
        engine.start()

    def _restart_tools(self) -> None:
        self.tools.kill()
        self.tools.start()

    def _freeze_postgres(self) -> None:
        self.postgres.break_off("freeze")
        time.sleep(FROZEN_SECONDS)
        self.postgres.mend("freeze")

    def _break(self, service: BreakableService) -> None:
        service.break_off("crash")
        service.mend("crash")


@contextmanager
def open_site() -> Iterator[SoakSite]:
    """Start everything; all of it ends with the block."""
    with ExitStack() as stack:
        harness = stack.enter_context(Harness())
        model, tools = harness.new_model(SCRIPT), harness.tools
        postgres, direct, proxied = stack.enter_context(breakable_postgres())
        redis, redis_server = stack.enter_context(breakable_redis())
        database = direct.create_database()
        asyncio.run(migrate(database))
        through = f"{proxied.url.rpartition('/')[0]}/{database_name(database)}"
        engines: list[Engine] = []
        for number in range(ENGINES):
            folder, port = harness.new_folder(), free_port()
            environment = _environment(folder, port, model.url, tools.url, through, redis_server.url)
            engine = Engine(f"engine {number + 1}", environment, port, folder)
            stack.callback(engine.end)
            engine.start()
            engines.append(engine)
        balancer = stack.enter_context(open_tcp_proxy(*(engine.port for engine in engines)))
        yield SoakSite(engines, balancer, postgres, redis, tools, database)


def _environment(folder: Path, port: int, model: str, tools: str, database: str, redis: str) -> Mapping[str, str]:
    return {
        "SKYFLO_ENV_FILE": "",
        "PYTHONUNBUFFERED": "1",
        "DATA_DIR": str(folder),
        "PORT": str(port),
        "LLM_MODEL": "openai/scripted",
        "LLM_HOST": f"{model}/v1",
        "OPENAI_API_KEY": "a key of the soak",
        "RATE_LIMITING_ENABLED": "false",
        "LLM_TITLES": "false",
        "SANDBOX": "none",
        "JWT_SECRET": "a secret of the soak, of at least 32 characters",
        "MCP_SERVER_URL": tools,
        "MCP_SERVER_TOKEN": TOKEN,
        "MCP_GRANT_KEY": GRANT_KEY,
        "POSTGRES_DATABASE_URL": database,
        "REDIS_URL": redis,
        "RUN_MAX_RESTARTS": "20",
    }
