"""Our own tool server as a child of the engine: on loopback, with keys of its own for each start.

It lives exactly as long as we do: it ends by itself when the pipe to us closes, however we end. A new one waits for the
lock of the old, so that two never serve one data folder.
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

from src.api.adapters.children import LINE_BYTES, Command, child, end, keep
from src.api.adapters.tools.endpoint import Endpoint
from src.api.errors import ToolsUnavailable
from src.api.ports import Clock
from src.api.utils.packages import is_installed
from src.api.utils.redaction import Redactor

__all__ = ["Launch", "ToolChild"]

logger = logging.getLogger(__name__)

PACKAGE = "skyflo_tools"
MISSING = "The package skyflo-tools is not installed: install it from mcp/, or set MCP_SERVER_URL to a tool server."
_HANDED_ON = frozenset(
    {"PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "VIRTUAL_ENV", "PYTHONPATH"}
    | {"KUBECONFIG", "CLUSTERS", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}
)
_ENDED = "The tool server ended with code {} and is started again."
_IN_USE = "Another engine uses this data folder: stop it, or give each a DATA_DIR of its own."
_LOCKED = 3  # what our tool server exits with when another holds the folder's lock
_START_SECONDS = 75.0


@dataclass(frozen=True, slots=True)
class Launch:
    """How the child is started. `environment` is the engine's own: only what is named here is handed on.

    `database_url` is the database that keeps used grants where several engines share one; else a file in `data_dir`.
    """

    data_dir: Path
    environment: Mapping[str, str] = field(repr=False)
    database_url: str | None = field(default=None, repr=False)
    also_hand_on: frozenset[str] = frozenset()
    impersonate: bool = False
    sandbox: str = ""
    """The name of the cluster that is a sandbox, where there is one."""

    command: Sequence[str] = (sys.executable, "-m", PACKAGE)

    @property
    def problem(self) -> str | None:
        """Why it can't be started at all."""
        return MISSING if PACKAGE in self.command and not is_installed(PACKAGE) else None

    def child_environment(self, token: str, grant_key: str) -> dict[str, str]:
        names = _HANDED_ON | self.also_hand_on
        handed = {name: value for name, value in self.environment.items() if name in names or name.startswith("LC_")}
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
        return handed | given


class ToolChild:
    """A `Source` that keeps the child running. Entering starts it and waits for nothing; leaving ends it in seconds.

    `changed` is called each time it listens, with keys of its own, and each time it has ended.
    """

    def __init__(
        self,
        launch: Launch,
        clock: Clock,
        redactor: Redactor,
        changed: Callable[[], None] = lambda: None,
        new_key: Callable[[], str] = lambda: token_urlsafe(32),
    ) -> None:
        self.changed = changed
        self._launch = launch
        self._clock = clock
        self._redactor = redactor
        self._new_key = new_key
        self._endpoint: Endpoint | None = None
        self._problem = launch.problem
        self._known = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        if self._problem is None:
            self._keeper = asyncio.create_task(keep(self._live, self._ended, self._clock), name="tool-child")
        else:
            self._known.set()
            logger.warning("%s", self._problem, extra={"action": "tools.child_missing"})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._endpoint = None
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])

    @property
    def pid(self) -> int | None:
        """The running child's process id."""
        return self._process.pid if self._process is not None else None

    @property
    def listens(self) -> bool:
        return self._endpoint is not None

    async def endpoint(self) -> Endpoint:
        """Waits for the first start; after that, says at once where it listens or why it does not."""
        await self._known.wait()
        if self._endpoint is None:
            raise ToolsUnavailable(self._problem or "The tool server is being started again.")
        return self._endpoint

    async def _live(self) -> None:
        """One life of the child: from its start to its end."""
        token, grant_key = self._new_key(), self._new_key()
        command = Command("tool server", self._launch.command, self._launch.child_environment(token, grant_key))
        async with child(command, self._redactor) as process:
            self._process = process
            listener = asyncio.create_task(self._listen(process, token, grant_key))
            try:
                code = await process.wait()
                self._problem = _IN_USE if code == _LOCKED else _ENDED.format(code)
            finally:
                self._process = self._endpoint = None
                await end(process)
                listener.cancel()
                await asyncio.wait([listener])

    def _ended(self, reason: OSError | None) -> None:
        if reason is not None:
            self._problem = f"The tool server can't be started: {reason.strerror or reason}."
        self._known.set()
        self.changed()
        logger.warning("%s", self._problem, extra={"action": "tools.child_ended"})

    async def _listen(self, process: asyncio.subprocess.Process, token: str, grant_key: str) -> None:
        """Learns the port from the first line, and reads what follows so that the child never blocks on it."""
        if process.stdout is None:
            return
        try:
            async with asyncio.timeout(_START_SECONDS):
                port = await _announced(process.stdout)
        except (TimeoutError, ValueError):
            logger.warning("the tool server did not say where it listens", extra={"action": "tools.child_silent"})
            await end(process)  # a kill of one that is just ending would hide its exit code
            return
        headers = {"Authorization": f"Bearer {token}"}
        self._endpoint = Endpoint(f"http://127.0.0.1:{port}/mcp", headers, grant_key)
        logger.info("the tool server listens on port %d", port, extra={"action": "tools.child_listens"})
        self._known.set()
        self.changed()
        while await process.stdout.read(LINE_BYTES):
            pass


async def _announced(stream: asyncio.StreamReader) -> int:
    """The port in the child's first line. Raises ValueError where that says anything else."""
    said = json.loads(await stream.readline())
    port = said.get("port") if isinstance(said, dict) and said.get("event") == "listening" else None
    if not isinstance(port, int) or not 0 < port < 65536:
        raise ValueError("not a port")
    return port
