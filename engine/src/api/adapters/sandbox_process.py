"""Run the sandbox as a child process. Its sockets are open before it starts and stay open across restarts."""

import asyncio
import logging
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from skyflo_common.redaction import Redactor
from src.api.adapters.subprocesses import LINE_BYTES, Command, restart_forever, run_process
from src.api.config.sandbox import PACKAGE
from src.api.errors import SandboxUnavailable
from src.api.ports import Clock

__all__ = ["SandboxConfig", "SandboxProcess", "SandboxSockets", "open_sockets"]

_INHERITED_VARIABLES = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"})
_BACKLOG = 128

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SandboxSockets:
    """Two listening sockets on loopback. Clients that connect before the sandbox runs are served once it does."""

    cluster: socket.socket
    model: socket.socket

    @staticmethod
    def url_of(of: socket.socket) -> str:
        return f"http://127.0.0.1:{of.getsockname()[1]}"


@contextmanager
def open_sockets() -> Iterator[SandboxSockets]:
    """Open both sockets; they close when the block ends."""
    with ExitStack() as stack:
        opened = [stack.enter_context(_listen_on_loopback()) for _ in range(2)]
        yield SandboxSockets(*opened)


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """How to start the sandbox. `folder` stores the cluster's objects; `fresh` starts with new ones."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    cluster: bool = True
    model: bool = True
    fresh: bool = False


class SandboxProcess:
    """Keep the sandbox running. Entering starts it without waiting; leaving stops it within seconds."""

    def __init__(self, config: SandboxConfig, opened: SandboxSockets, clock: Clock, redactor: Redactor) -> None:
        self._config = config
        self._sockets = opened
        self._clock = clock
        self._redactor = redactor
        self._problem: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._fresh = config.fresh

    async def __aenter__(self) -> Self:
        self._supervisor = asyncio.create_task(
            restart_forever(self._run_once, self._on_exit, self._clock), name="sandbox"
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.wait([self._supervisor])

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        return self._process.pid if self._process is not None else None

    async def check(self) -> None:
        """Raise `SandboxUnavailable`, with the reason, while the sandbox is not running."""
        if self._process is None:
            raise SandboxUnavailable(self._problem or "The sandbox is being started.")

    async def _run_once(self) -> None:
        async with run_process(self._command(), self._redactor) as process:
            self._process = process
            self._fresh = False
            try:
                while process.stdout is not None and await process.stdout.read(LINE_BYTES):
                    pass
                self._problem = f"The sandbox ended with code {await process.wait()} and is started again."
            finally:
                self._process = None

    def _on_exit(self, reason: OSError | None) -> None:
        if reason is not None:
            self._problem = f"The sandbox can't be started: {reason.strerror or reason}."
        logger.warning("%s", self._problem, extra={"action": "sandbox.ended"})

    def _command(self) -> Command:
        config, opened = self._config, self._sockets
        argv = [sys.executable, "-m", PACKAGE, "--parent-pipe"]
        if config.cluster:
            argv += ["--cluster-fd", str(opened.cluster.fileno()), "--keep", str(config.folder / "cluster.json")]
        if config.model:
            argv += ["--model-fd", str(opened.model.fileno())]
        environment = {name: value for name, value in config.environment.items() if name in _INHERITED_VARIABLES}
        return Command(
            "sandbox",
            [*argv, *(["--fresh"] if self._fresh else [])],
            environment | {"PYTHONUNBUFFERED": "1"},
            (opened.cluster.fileno(), opened.model.fileno()),
        )


@contextmanager
def _listen_on_loopback() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen(_BACKLOG)
        yield opened
