"""Store tokens per engine in a private file.

A refresh token is used only once, by one process at a time.
"""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from src.cli.files import config_folder, lock_file, read_object, write_private
from src.cli.jsontypes import JsonObject, inner, text

__all__ = ["CredentialStore", "Login", "token_from_environment"]

RequestTokens = Callable[[str], "Login | None"]
"""Exchanges a refresh token for new tokens; returns None if the engine no longer accepts it."""


@dataclass(frozen=True, slots=True)
class Login:
    """Tokens of one user at one engine. `refresh` is empty if the engine issued none."""

    email: str
    access: str
    refresh: str = ""

    def __repr__(self) -> str:
        return f"Login({self.email!r})"


def token_from_environment() -> str | None:
    """Return a machine's token from `SKYFLO_TOKEN`, which is never stored."""
    return os.environ.get("SKYFLO_TOKEN") or None


class CredentialStore:
    """The file `credentials.json` in the configuration folder (`XDG_CONFIG_HOME`). Writing may raise `OSError`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or config_folder()) / "credentials.json"
        self._lock = self._path.with_name("credentials.lock")

    @property
    def last_server(self) -> str | None:
        """URL of the engine of the last login, unless it was followed by a logout."""
        return text(read_object(self._path), "last") or None

    def login(self, url: str) -> Login | None:
        stored = inner(inner(read_object(self._path), "servers"), url)
        access = text(stored, "access_token")
        return Login(text(stored, "email"), access, text(stored, "refresh_token")) if access else None

    def save(self, url: str, login: Login) -> None:
        """Store the tokens and make this engine the default."""
        with lock_file(self._lock):
            self._write(url, login, url)

    def delete(self, url: str) -> None:
        with lock_file(self._lock):
            last = self.last_server
            self._write(url, None, None if last == url else last)

    def renew(self, url: str, refused: str, request_tokens: RequestTokens) -> Login | None:
        """Replace an access token that the engine rejected; return None if a new login is needed.

        If another process has replaced it meanwhile, its token is returned and no refresh token is used.
        """
        with lock_file(self._lock):
            stored = self.login(url)
            if stored is None or stored.access != refused:
                return stored
            renewed = request_tokens(stored.refresh) if stored.refresh else None
            login = None if renewed is None else replace(renewed, email=stored.email)
            self._write(url, login, self.last_server)
            return login

    def _write(self, url: str, login: Login | None, last: str | None) -> None:
        servers = {name: value for name, value in inner(read_object(self._path), "servers").items() if name != url}
        if login is not None:
            tokens = {"access_token": login.access, "refresh_token": login.refresh}
            servers[url] = {"email": login.email, **tokens}
        content: JsonObject = {"servers": servers, "last": last}
        write_private(self._path, json.dumps(content, indent=2))
