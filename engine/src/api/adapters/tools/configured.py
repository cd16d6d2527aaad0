"""The tool servers that the settings name."""

from src.api.adapters.tools.child import ToolChild
from src.api.adapters.tools.endpoint import Endpoint, FixedEndpoint, ServerConfig, Source
from src.api.config.settings import McpServer, Settings

__all__ = ["configured_servers"]


def configured_servers(settings: Settings, child: ToolChild | None, ours_is: str) -> list[ServerConfig]:
    """Ours first, under this name: where two tools have one name, the earlier server keeps it."""
    ours: Source = child or FixedEndpoint(_own_endpoint(settings))
    return [
        ServerConfig(ours_is, ours, trusted=True),
        *(ServerConfig(one.name, _address(settings, one), one.trusted) for one in settings.mcp_servers),
    ]


def _own_endpoint(settings: Settings) -> Endpoint:
    """Our tool server where it runs apart: the token lets us in, the key makes it believe our grants."""
    token, key = settings.mcp_server_token, settings.mcp_grant_key
    headers = {"Authorization": f"Bearer {token.get_secret_value()}"} if token else {}
    return Endpoint(settings.mcp_server_url or "", headers, key.get_secret_value() if key else None)


def _address(settings: Settings, server: McpServer) -> FixedEndpoint:
    if server.token_env is None:
        return FixedEndpoint(Endpoint(server.url))
    token = settings.environment.get(server.token_env)
    if not token:
        return FixedEndpoint(None, f"The variable {server.token_env}, which MCP_SERVERS names for a token, is not set.")
    value = f"Bearer {token}" if server.header.lower() == "authorization" else token
    return FixedEndpoint(Endpoint(server.url, {server.header: value}))
