"""Choose the engine, and decide whether a secret may be sent to it."""

import os
import re
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from src.cli.errors import UsageError

__all__ = ["Server", "choose_server"]

_LOCAL_HOST = "http://127.0.0.1"
_ADDRESS = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Server:
    """An engine's address, without the base path of its API."""

    url: str

    @property
    def api_url(self) -> str:
        """The base URL of the API."""
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
    def is_safe_for_secrets(self) -> bool:
        """Whether the connection is encrypted or stays on this machine."""
        return self.is_loopback or self.url.lower().startswith("https:")


def choose_server(option: str | None, last_server: str | None) -> Server:
    """Choose by option, `SKYFLO_SERVER`, the last login, or else this machine's engine (`PORT`).

    Raises `UsageError` for an invalid address.
    """
    url = (
        option or os.environ.get("SKYFLO_SERVER") or last_server or f"{_LOCAL_HOST}:{os.environ.get('PORT') or '8080'}"
    )
    if not _ADDRESS.fullmatch(url) or _has_invalid_port(url):
        raise UsageError(f"{url!r} is not the address of an engine. Write it as https://host or http://host:port.")
    base = url.rstrip("/")
    return Server(base.removesuffix("/api/v1"))


def _has_invalid_port(url: str) -> bool:
    try:
        return urlsplit(url).port == 0
    except ValueError:
        return True
