"""Build the list of tool servers from the settings."""

from collections.abc import Mapping

from skyflo_common.key_list import key_values
from src.api.adapters.subprocesses import Command
from src.api.adapters.tools.endpoint import (
    ChangingEndpoint,
    ChildEndpoint,
    Endpoint,
    EndpointSource,
    FixedEndpoint,
    ServerConfig,
)
from src.api.config.mcp_server import McpServer
from src.api.config.settings import Settings

__all__ = ["build_server_configs"]

_INHERITED_VARIABLES = frozenset(
    {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TERM", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"}
)


def build_server_configs(settings: Settings, child: ChangingEndpoint | None, own_name: str) -> list[ServerConfig]:
    """Return our own server first: if two tools have the same name, the earlier server keeps it."""
    own: EndpointSource = child or FixedEndpoint(_build_own_endpoint(settings))
    return [
        ServerConfig(own_name, own, trusted=True),
        *(_build_config(server, settings.environment) for server in settings.mcp_servers),
    ]


def _build_own_endpoint(settings: Settings) -> Endpoint:
    """Return our tool server's address if it runs elsewhere, with the first access token and key for grants."""
    token, key = (next(iter(key_values(each)), None) for each in (settings.mcp_server_token, settings.mcp_grant_key))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return Endpoint(settings.mcp_server_url or "", headers, key)


def _build_config(server: McpServer, environment: Mapping[str, str]) -> ServerConfig:
    needed = server.env_from if server.token_env is None else (server.token_env,)
    return ServerConfig(
        server.name,
        _build_source(server, needed, environment),
        server.trusted,
        frozenset(server.tools),
        server.secrets(environment),
    )


def _build_source(server: McpServer, needed: tuple[str, ...], environment: Mapping[str, str]) -> FixedEndpoint:
    missing = [name for name in needed if not environment.get(name)]
    if missing:
        field = "env_from" if server.token_env is None else "token_env"
        problem = f"MCP_SERVERS names {', '.join(missing)} in `{field}`, which is not set in the engine's environment."
        return FixedEndpoint(None, problem)
    if server.command is None:
        return FixedEndpoint(Endpoint(server.url or "", _build_headers(server, environment)))
    return FixedEndpoint(ChildEndpoint(_build_command(server, server.command, environment)))


def _build_headers(server: McpServer, environment: Mapping[str, str]) -> dict[str, str]:
    if server.token_env is None:
        return {}
    token = environment[server.token_env]
    return {server.header: f"Bearer {token}" if server.header.lower() == "authorization" else token}


def _build_command(server: McpServer, command: str, environment: Mapping[str, str]) -> Command:
    """Return the child's command line. Of the engine's environment it gets the basics, and what the entry names."""
    inherited = {
        name: value
        for name, value in environment.items()
        if name in _INHERITED_VARIABLES or name.startswith("LC_") or name in server.env_from
    }
    given = {name: value.get_secret_value() for name, value in server.env.items()}
    return Command(
        f"tool server {server.name}",
        (command, *server.args),
        inherited | given,
        cwd=server.cwd,
        ends_descendants=True,
    )
