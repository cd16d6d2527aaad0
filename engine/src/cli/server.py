"""Which engine is meant, and whether a secret may be sent there."""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from src.cli.errors import WrongUse

__all__ = ["Server", "chosen"]

_HERE = "http://127.0.0.1"
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """An engine by its address, without the base path of its interface."""

    url: str

    @property
    def api(self) -> str:
        """Where its interface begins."""
        return self.url + os.environ.get("API_V1_STR", "/api/v1").rstrip("/")

    @property
    def is_loopback(self) -> bool:
        host = urlsplit(self.url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent."""
        return self.is_loopback or self.url.lower().startswith("https:")


def chosen(named: str | None, last: str | None) -> Server:
    """By option, else `SKYFLO_SERVER`, else where one signed in last, else the engine of this machine (`PORT`).

    Raises `WrongUse` for what is no address.
    """
    url = named or os.environ.get("SKYFLO_SERVER") or last or f"{_HERE}:{os.environ.get('PORT') or '8080'}"
    if not _ADDRESS.fullmatch(url) or _port_is_wrong(url):
        raise WrongUse(f"{url!r} is not the address of an engine. Write it as https://host or http://host:port.")
    base = url.rstrip("/")
    return Server(base.removesuffix("/api/v1"))


def _port_is_wrong(url: str) -> bool:
    try:
        return urlsplit(url).port == 0
    except ValueError:
        return True
