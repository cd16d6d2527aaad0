"""Who one is at each engine: tokens in a private file, each refresh token used once, by one process at a time."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from src.cli.files import config_folder, locked, read_object, write_private
from src.cli.jsontypes import JsonObject, inner, text

__all__ = ["Login", "Store", "from_environment"]

Renewal = Callable[[str], "Login | None"]
"""Gets new tokens for a refresh token; None when it is worth nothing any more."""


@dataclass(frozen=True, slots=True)
class Login:
    """One person at one engine. `refresh` is empty where the engine gave none."""

    email: str
    access: str
    refresh: str = ""

    def __repr__(self) -> str:
        return f"Login({self.email!r})"


def from_environment() -> str | None:
    """A machine's token, `SKYFLO_TOKEN`: used as it is and kept nowhere."""
    return os.environ.get("SKYFLO_TOKEN") or None


class Store:
    """The file `credentials.json` in the folder of settings (`XDG_CONFIG_HOME`). Writing may raise `OSError`."""

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or config_folder()) / "credentials.json"
        self._lock = self._path.with_name("credentials.lock")

    @property
    def last(self) -> str | None:
        """The address where somebody signed in last and has not signed out."""
        return text(read_object(self._path), "last") or None

    def login(self, url: str) -> Login | None:
        kept = inner(inner(read_object(self._path), "servers"), url)
        access = text(kept, "access_token")
        return Login(text(kept, "email"), access, text(kept, "refresh_token")) if access else None

    def keep(self, url: str, login: Login) -> None:
        """From now on the one to be used there, and the engine that is meant when none is named."""
        with locked(self._lock):
            self._write(url, login, url)

    def forget(self, url: str) -> None:
        with locked(self._lock):
            last = self.last
            self._write(url, None, None if last == url else last)

    def renewed(self, url: str, refused: str, renew: Renewal) -> Login | None:
        """The login whose access token takes the place of `refused`; None when one must sign in again.

        Another process may have renewed it in the meantime: then its token is taken and none is used up.
        """
        with locked(self._lock):
            kept = self.login(url)
            if kept is None or kept.access != refused:
                return kept
            fresh = renew(kept.refresh) if kept.refresh else None
            login = None if fresh is None else replace(fresh, email=kept.email)
            self._write(url, login, self.last)
            return login

    def _write(self, url: str, login: Login | None, last: str | None) -> None:
        servers = {name: value for name, value in inner(read_object(self._path), "servers").items() if name != url}
        if login is not None:
            tokens = {"access_token": login.access, "refresh_token": login.refresh}
            servers[url] = {"email": login.email, **tokens}
        content: JsonObject = {"servers": servers, "last": last}
        write_private(self._path, json.dumps(content, indent=2))
