"""Start the bundled tool server, and connect to all configured tool servers."""

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from skyflo_common.clock import SystemClock
from skyflo_common.redaction import Redactor
from src.api.adapters.lazy import import_in_thread
from src.api.adapters.tools.endpoint import ChangingEndpoint
from src.api.adapters.tools.server_process import ToolServerConfig, ToolServerProcess
from src.api.adapters.tools.servers import build_server_configs
from src.api.agent.policy_facts import OWN_SERVER
from src.api.config.settings import Settings
from src.api.environment import ResolvedEnvironment
from src.api.ports import Clock, IntegrationAccess

if TYPE_CHECKING:
    from src.api.adapters.tools.mcp import McpToolServers
    from src.api.adapters.tools.parent_process import ParentProcess

__all__ = ["connect_tool_servers", "find_tool_server", "start_tool_server"]


async def find_tool_server(
    stack: AsyncExitStack,
    resolved: ResolvedEnvironment,
    clock: Clock,
    redactor: Redactor,
    parent: "ParentProcess | None",
) -> ChangingEndpoint | None:
    """Return the bundled tool server: the parent's, or else one of this process. None if the settings name another."""
    if parent is None:
        return await start_tool_server(stack, resolved, clock, redactor)
    await stack.enter_async_context(parent)
    return None if resolved.settings.mcp_server_url else parent


async def start_tool_server(
    stack: AsyncExitStack, resolved: ResolvedEnvironment, clock: Clock, redactor: Redactor
) -> ToolServerProcess | None:
    """Start the bundled tool server as a child process, unless the settings name another server."""
    settings = resolved.settings
    if settings.mcp_server_url:
        return None
    launch = ToolServerConfig(
        settings.data_dir,
        settings.environment,
        settings.postgres_database_url,
        impersonate=settings.kubernetes_impersonate,
        sandbox=resolved.sandbox_cluster,
    )
    return await stack.enter_async_context(ToolServerProcess(launch, clock, redactor))


async def connect_tool_servers(
    stack: AsyncExitStack,
    settings: Settings,
    child: ChangingEndpoint | None,
    access: IntegrationAccess,
    redactor: Redactor,
) -> "McpToolServers":
    await import_in_thread("src.api.adapters.tools.mcp")
    from src.api.adapters.tools.mcp import McpToolServers

    configs = build_server_configs(settings, child, OWN_SERVER)
    servers = await stack.enter_async_context(McpToolServers(configs, SystemClock(), redactor, integrations=access))
    if child is not None:
        child.changed = servers.wake
    return servers
