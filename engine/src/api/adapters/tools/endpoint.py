"""Where a tool server is, and how far it is believed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from src.api.errors import ToolsUnavailable

__all__ = ["Endpoint", "FixedEndpoint", "ServerConfig", "Source"]

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a server. `grant_key` is set only where the server checks grants."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    grant_key: str | None = field(default=None, repr=False)


class Source(Protocol):
    """Says where a server is now: a fixed address, or that of a child that may have been started anew."""

    async def endpoint(self) -> Endpoint:
        """Raises `ToolsUnavailable`, with the reason, where there is none at the moment."""


@dataclass(frozen=True, slots=True)
class FixedEndpoint:
    """An address from the settings, or the sentence that says why it can't be used."""

    address: Endpoint | None
    problem: str = ""

    async def endpoint(self) -> Endpoint:
        if self.address is None:
            raise ToolsUnavailable(self.problem)
        return self.address


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A server by name. The hints of its tools are believed only where it is `trusted`."""

    name: str
    source: Source
    trusted: bool = False

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"A tool server's name is made of a-z, 0-9 and '-', at most 32: not {self.name[:40]!r}.")
