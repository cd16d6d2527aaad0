"""Run our own tool server as a child process, on loopback, with new keys for each start.

The child exits when its pipe to the engine closes, however the engine ends. A new child waits for the old one's lock,
so that two never use one data folder.
"""

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Self

from skyflo_common.redaction import Redactor
from src.api.adapters.subprocesses import LINE_BYTES, Command, restart_forever, run_process, stop_process
from src.api.adapters.tools.endpoint import Endpoint
from src.api.errors import ToolsUnavailable
from src.api.ports import Clock
from src.api.utils.packages import is_installed

__all__ = ["ToolServerConfig", "ToolServerProcess"]

logger = logging.getLogger(__name__)

PACKAGE = "skyflo_tools"
NOT_INSTALLED = (
    "The package skyflo-tools is not installed: install it from mcp/, or set MCP_SERVER_URL to a tool server."
)
_INHERITED_VARIABLES = frozenset(
    {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV", "PYTHONPATH"}
    | {"KUBECONFIG", "CLUSTERS", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}
    | {"HELM_BINARY", "HELM_CHARTS"}
    | {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"}
    | {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
    | {"PROMETHEUS_URL", "PROMETHEUS_TOKEN", "PROMETHEUS_USERNAME", "PROMETHEUS_PASSWORD"}
)
_ENDED = "The tool server ended with code {} and is started again."
_IN_USE = "Another engine uses this data folder: stop it, or give each a DATA_DIR of its own."
_EXIT_LOCKED = 3  # our tool server's exit code when another process holds the folder's lock
_START_SECONDS = 75.0


@dataclass(frozen=True, slots=True)
class ToolServerConfig:
    """How to start the child. It inherits only the named variables of `environment`.

    `database_url` is the database of used grants if several engines share one; otherwise a file in `data_dir` is used.
    """

    data_dir: Path
    environment: Mapping[str, str] = field(repr=False)
    database_url: str | None = field(default=None, repr=False)
    extra_variables: frozenset[str] = frozenset()
    impersonate: bool = False
    sandbox: str = ""
    """The name of the sandbox cluster, if there is one."""

    command: Sequence[str] = field(default_factory=lambda: (sys.executable, "-m", PACKAGE))

    @property
    def problem(self) -> str | None:
        """Why the child can't be started at all, or None."""
        return NOT_INSTALLED if PACKAGE in self.command and not is_installed(PACKAGE) else None

    def child_environment(self, token: str, grant_key: str) -> dict[str, str]:
        names = _INHERITED_VARIABLES | self.extra_variables
        inherited = {name: value for name, value in self.environment.items() if name in names or name.startswith("LC_")}
        given = {
            "SKYFLO_TOOLS_HOST": "127.0.0.1",
            "SKYFLO_TOOLS_PORT": "0",
            "SKYFLO_TOOLS_MODE": "engine",
            "SKYFLO_TOOLS_TOKEN": token,
            "SKYFLO_TOOLS_GRANT_KEY": grant_key,
            "SKYFLO_TOOLS_DATA_DIR": str(self.data_dir.resolve()),
            "SKYFLO_TOOLS_PARENT_PIPE": "1",
            "KUBERNETES_IMPERSONATE": str(self.impersonate).lower(),
            "PYTHONUNBUFFERED": "1",
        }
        if self.sandbox:
            given["SKYFLO_TOOLS_SANDBOX"] = self.sandbox
        if self.database_url is not None:
            given["SKYFLO_TOOLS_DATABASE_URL"] = self.database_url
        return inherited | given


class ToolServerProcess:
    """An `EndpointSource` that keeps the child running. Entering starts it without waiting; leaving stops it in
    seconds.

    `changed` is called whenever the child starts to listen, each time with new keys, and whenever it has exited.
    """

    def __init__(
        self,
        config: ToolServerConfig,
        clock: Clock,
        redactor: Redactor,
        changed: Callable[[], None] = lambda: None,
        new_key: Callable[[], str] = lambda: token_urlsafe(32),
    ) -> None:
        self.changed = changed
        self._config = config
        self._clock = clock
        self._redactor = redactor
        self._new_key = new_key
        self._endpoint: Endpoint | None = None
        self._problem = config.problem
        self._started_once = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        if self._problem is None:
            self._supervisor = asyncio.create_task(
                restart_forever(self._run_once, self._on_exit, self._clock), name="tool-child"
            )
        else:
            self._started_once.set()
            logger.warning("%s", self._problem, extra={"action": "tools.child_missing"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._endpoint = None
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        return self._process.pid if self._process is not None else None

    @property
    def is_listening(self) -> bool:
        return self._endpoint is not None

    @property
    def state(self) -> Endpoint | str | None:
        """The child's address, or why there is none; None until the first start has ended either way."""
        return self._endpoint or (self._problem if self._started_once.is_set() else None)

    async def endpoint(self) -> Endpoint:
        """Return the child's address, waiting for the first start only. Raises `ToolsUnavailable` with the reason."""
        await self._started_once.wait()
        if self._endpoint is None:
            raise ToolsUnavailable(self._problem or "The tool server is being started again.")
        return self._endpoint

    async def _run_once(self) -> None:
        """Run the child once, from start to exit."""
        token, grant_key = self._new_key(), self._new_key()
        command = Command("tool server", self._config.command, self._config.child_environment(token, grant_key))
        async with run_process(command, self._redactor) as process:
            self._process = process
            listener = asyncio.create_task(self._listen(process, token, grant_key))
            try:
                code = await process.wait()
                self._problem = _IN_USE if code == _EXIT_LOCKED else _ENDED.format(code)
            finally:
                self._process = self._endpoint = None
                await stop_process(process)
                listener.cancel()
                await asyncio.wait([listener])

    def _on_exit(self, reason: OSError | None) -> None:
        if reason is not None:
            self._problem = f"The tool server can't be started: {reason.strerror or reason}."
        self._started_once.set()
        self.changed()
        logger.warning("%s", self._problem, extra={"action": "tools.child_ended"})

    async def _listen(self, process: asyncio.subprocess.Process, token: str, grant_key: str) -> None:
        """Read the port from the first line, then drain the output so that the child never blocks on it."""
        if process.stdout is None:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                port = await _read_port(process.stdout)
        except (TimeoutError, ValueError):
            logger.warning("the tool server did not report its port", extra={"action": "tools.child_silent"})
            await stop_process(process)  # killing a child that is exiting would hide its exit code
            return
        headers = {"Authorization": f"Bearer {token}"}
        self._endpoint = Endpoint(f"http://127.0.0.1:{port}/mcp", headers, grant_key)
        logger.info("the tool server listens on port %d", port, extra={"action": "tools.child_listens"})
        self._started_once.set()
        self.changed()
        while await process.stdout.read(LINE_BYTES):
            pass


async def _read_port(stream: asyncio.StreamReader) -> int:
    """Read the port from the child's first line. Raises `ValueError` if it has none."""
    announced = json.loads(await stream.readline())
    port = announced.get("port") if isinstance(announced, dict) and announced.get("event") == "listening" else None
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError("not a port")
    return port
