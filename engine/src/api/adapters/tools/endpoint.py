"""Describe how a tool server is reached, and whether its hints are trusted."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from src.api.adapters.subprocesses import Command
from src.api.errors import ToolsUnavailable

__all__ = [
    "ChangingEndpoint",
    "ChildEndpoint",
    "Endpoint",
    "EndpointSource",
    "FixedEndpoint",
    "ServerConfig",
    "ServerEndpoint",
]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's URL and credentials. `grant_key` is set only if the server checks grants."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    grant_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ChildEndpoint:
    """The command of a server that speaks MCP on its standard streams. The session runs it. It checks no grants."""

    command: Command
    grant_key: None = None


ServerEndpoint = Endpoint | ChildEndpoint


class EndpointSource(Protocol):
    """Provides a server's current address: a fixed one, or that of a child process, which changes with each start."""

    async def endpoint(self) -> ServerEndpoint:
        """Return the address. Raises `ToolsUnavailable`, with the reason, while there is none."""


class ChangingEndpoint(EndpointSource, Protocol):
    """An address that changes while the engine runs. `changed` is called after each change."""

    changed: Callable[[], None]


@dataclass(frozen=True, slots=True)
class FixedEndpoint:
    """An address from the settings, or the reason why it can't be used."""

    address: ServerEndpoint | None
    problem: str = ""

    async def endpoint(self) -> ServerEndpoint:
        if self.address is None:
            raise ToolsUnavailable(self.problem)
        return self.address


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A named server. The hints of its tools count only if it is `trusted`.

    `tools` are the names of the only tools that are listed; empty means all. `secrets` are values of its settings that
    are hidden wherever the server repeats them.
    """

    name: str
    source: EndpointSource
    trusted: bool = False
    tools: frozenset[str] = frozenset()
    secrets: tuple[str, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"A tool server's name is made of a-z, 0-9 and '-', at most 32: not {self.name[:40]!r}.")
