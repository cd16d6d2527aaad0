"""The sandbox as a child of the engine: its addresses are open before it runs, and stay while it is started anew."""

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

from src.api.adapters.children import LINE_BYTES, Command, child, keep
from src.api.config.sandbox import PACKAGE
from src.api.errors import SandboxUnavailable
from src.api.ports import Clock
from src.api.utils.redaction import Redactor

__all__ = ["Plan", "SandboxChild", "Sockets", "sockets"]

_HANDED_ON = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH"})
_BACKLOG = 128

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Two ports on loopback: who connects before the sandbox runs waits, and is served."""

    cluster: socket.socket
    model: socket.socket

    @staticmethod
    def address(of: socket.socket) -> str:
        return f"http://127.0.0.1:{of.getsockname()[1]}"


@contextmanager
def sockets() -> Iterator[Sockets]:
    """Open until the block ends."""
    with ExitStack() as stack:
        opened = [stack.enter_context(_listening()) for _ in range(2)]
        yield Sockets(*opened)


@dataclass(frozen=True, slots=True)
class Plan:
    """How it is started. `folder` keeps the cluster's objects; `fresh` begins with new ones."""

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    cluster: bool = True
    model: bool = True
    fresh: bool = False


class SandboxChild:
    """Keeps it running. Entering starts it and waits for nothing; leaving ends it in seconds."""

    def __init__(self, plan: Plan, opened: Sockets, clock: Clock, redactor: Redactor) -> None:
        self._plan = plan
        self._sockets = opened
        self._clock = clock
        self._redactor = redactor
        self._problem: str | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._fresh = plan.fresh

    async def __aenter__(self) -> Self:
        self._keeper = asyncio.create_task(keep(self._live, self._ended, self._clock), name="sandbox")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        return self._process.pid if self._process is not None else None

    async def check(self) -> None:
        """Raises `SandboxUnavailable`, with the reason, while it is not running."""
        if self._process is None:
            raise SandboxUnavailable(self._problem or "The sandbox is being started.")

    async def _live(self) -> None:
        async with child(self._command(), self._redactor) as process:
            self._process = process
            self._fresh = False
            try:
                while process.stdout is not None and await process.stdout.read(LINE_BYTES):
                    pass
                self._problem = f"The sandbox ended with code {await process.wait()} and is started again."
            finally:
                self._process = None

    def _ended(self, reason: OSError | None) -> None:
        if reason is not None:
            self._problem = f"The sandbox can't be started: {reason.strerror or reason}."
        logger.warning("%s", self._problem, extra={"action": "sandbox.ended"})

    def _command(self) -> Command:
        plan, opened = self._plan, self._sockets
        argv = [sys.executable, "-m", PACKAGE, "--parent-pipe"]
        if plan.cluster:
            argv += ["--cluster-fd", str(opened.cluster.fileno()), "--keep", str(plan.folder / "cluster.json")]
        if plan.model:
            argv += ["--model-fd", str(opened.model.fileno())]
        environment = {name: value for name, value in plan.environment.items() if name in _HANDED_ON}
        return Command(
            "sandbox",
            [*argv, *(["--fresh"] if self._fresh else [])],
            environment | {"PYTHONUNBUFFERED": "1"},
            (opened.cluster.fileno(), opened.model.fileno()),
        )


@contextmanager
def _listening() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen(_BACKLOG)
        yield opened
