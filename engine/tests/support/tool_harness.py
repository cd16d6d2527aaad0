"""Connect the MCP adapter to counting servers, with short methods for calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from skyflo_common.clock import SystemClock
from skyflo_common.redaction import Redactor
from src.api.adapters.tools.endpoint import Endpoint, FixedEndpoint, ServerConfig
from src.api.adapters.tools.mcp import McpToolServers
from src.api.ports import Clock, Grant, Progress, ToolReply, ToolRequest, ToolSpec
from src.api.schemas.base import JsonObject
from src.api.utils.canonical import canonical
from tests.support.counting_process import GRANT_KEY, TOKEN, CountingProcess
from tests.support.waiting import eventually

REDACTOR = Redactor(b"a key of the tests, 32 bytes long")


class JumpingClock(SystemClock):
    """A clock that can jump ahead, as the clock of a suspended machine does."""

    def __init__(self) -> None:
        self._jumped = 0.0

    def jump(self, seconds: float) -> None:
        self._jumped += seconds

    def monotonic(self) -> float:
        return super().monotonic() + self._jumped


class ToolHarness:
    """An adapter and its clock. A change without an `approval` gets a new one."""

    def __init__(self, servers: McpToolServers, clock: Clock) -> None:
        self.servers = servers
        self.clock = clock
        self._calls = 0

    def state(self, server: str = "own") -> str:
        return next(health.state for health in self.servers.health() if health.name == server)

    async def wait_for_state(self, state: str, server: str = "own") -> None:
        """Wait until the adapter reports the server in this state."""
        await eventually(lambda: self.state(server) == state, what=f"{server} {state}")

    async def spec(self, tool: str) -> ToolSpec:
        return (await self.servers.tools())[tool]

    async def read(
        self, args: JsonObject, tool: str = "read_thing", deadline: float = 60, progress: Progress | None = None
    ) -> ToolReply:
        return await self.servers.call(ToolRequest("own", tool, canonical(args), deadline), progress)

    async def change(self, approval: str | None = None, tool: str = "change_thing", deadline: float = 60) -> ToolReply:
        """Set the thing `a` to 1."""
        return await self.servers.call(await self.request(approval, tool, deadline))

    async def request(
        self, approval: str | None = None, tool: str = "change_thing", deadline: float = 60, send_within: float = 10
    ) -> ToolRequest:
        self._calls += 1
        spec = await self.spec(tool)
        return ToolRequest(
            server=spec.server,
            tool=spec.name,
            args=canonical({"name": "a", "value": "1"}),
            deadline=deadline,
            schema_hash=spec.schema_hash,
            grant=Grant(approval or f"approval-{self._calls}", "run-1", "ada@example.org", {}, 15),
            send_before=self.clock.monotonic() + send_within,
        )


def server_config(
    counting: CountingProcess, name: str = "own", trusted: bool | None = None, grant_key: str = GRANT_KEY
) -> ServerConfig:
    """Return the settings for this server. `trusted` defaults to the server's own value."""
    key = grant_key if counting.trusted else None
    endpoint = Endpoint(counting.url, {"Authorization": f"Bearer {TOKEN}"}, key)
    return ServerConfig(name, FixedEndpoint(endpoint), counting.trusted if trusted is None else trusted)


@asynccontextmanager
async def open_tool_harness(
    *configs: ServerConfig, clock: Clock | None = None, drain: float = 5
) -> AsyncIterator[ToolHarness]:
    """Open the adapter until the block ends. It has no connections yet."""
    clock = clock or SystemClock()
    async with McpToolServers(configs, clock, REDACTOR, drain=drain) as servers:
        yield ToolHarness(servers, clock)
