"""`skyflo login`, `logout` and `whoami`."""

from __future__ import annotations

import getpass
import sys

from rich.text import Text

from src.cli.client import Engine, engine_at
from src.cli.console import Terminal
from src.cli.credentials import Store, from_environment
from src.cli.errors import DONE, CliError, Refused, WrongUse
from src.cli.jsontypes import JsonObject, flag, text
from src.cli.words import line

__all__ = ["login", "logout", "whoami"]

_MAX_PASSWORD = 256


def login(email: str | None, register: bool, server: str | None, insecure: bool) -> int:
    """Signs in and keeps the tokens; where nobody has an account yet, offers to make the first."""
    terminal = Terminal()
    with engine_at(server, insecure) as engine:
        if not engine.server.is_private and not insecure:
            raise WrongUse(
                f"{engine.server.url} is not encrypted, so no password is sent there. Use https, or add --insecure."
            )
        if email is None and _needs_none(engine, terminal):
            return DONE
        first = flag(engine.get("/auth/is_admin_user"), "is_admin") is True
        if first:
            _offer(terminal, register)
        address = email or _asked(terminal, "E-mail: ")
        password = _password(terminal)
        if first:
            if terminal.interactive and getpass.getpass("Password, once more: ") != password:
                raise WrongUse("The two passwords differ, so no account was made.")
            engine.post("/auth/register/register", {"email": address, "password": password})
        _keep(engine, address, password)
        terminal.show(Text(f"Signed in at {engine.server.url} as {line(address)}."))
    return DONE


def logout(server: str | None, insecure: bool) -> int:
    """Ends the session there and forgets its tokens here, the latter in any case."""
    terminal = Terminal()
    with engine_at(server, insecure) as engine:
        url = engine.server.url
        if engine.store.login(url) is None:
            terminal.show(Text(f"Not signed in at {url}."))
            return DONE
        try:
            engine.post("/auth/logout")
        except CliError as error:
            terminal.note(Text(f"! The session there could not be ended: {error}"))
        _forget(engine.store, url)
        terminal.show(Text(f"Signed out at {url}."))
    return DONE


def whoami(server: str | None, insecure: bool) -> int:
    with engine_at(server, insecure) as engine:
        me = engine.get("/auth/me")
        Terminal().show(_identity(engine, me))
    return DONE


def _identity(engine: Engine, me: JsonObject) -> Text:
    return Text(f"{line(text(me, 'email'))} ({line(text(me, 'role'))}) at {engine.server.url}")


def _needs_none(engine: Engine, terminal: Terminal) -> bool:
    """Whether this engine knows one already, as the local one does its own machine."""
    if engine.store.login(engine.server.url) is not None or from_environment() is not None:
        return False
    try:
        me = engine.get("/auth/me")
    except Refused:
        return False
    terminal.show(Text("No need to sign in: to this engine you are ").append_text(_identity(engine, me)).append("."))
    return True


def _offer(terminal: Terminal, register: bool) -> None:
    told = "Nobody has an account here yet; who makes the first one becomes the admin."
    if register:
        return
    if not terminal.interactive:
        raise WrongUse(f"{told} Add --register to make it.")
    terminal.show(Text(told))
    if not _asked(terminal, "Make it now? [y/N] ").lower().startswith("y"):
        raise WrongUse("No account was made.")


def _asked(terminal: Terminal, question: str) -> str:
    if not terminal.interactive:
        raise WrongUse("Name your address with --email.")
    try:
        return input(question).strip()
    except EOFError as error:
        raise WrongUse("Nothing was typed.") from error


def _password(terminal: Terminal) -> str:
    """Hidden at a terminal; else the first line of standard input."""
    try:
        typed = getpass.getpass("Password: ") if terminal.interactive else sys.stdin.readline(_MAX_PASSWORD + 2)
    except EOFError as error:
        raise WrongUse("No password was typed.") from error
    password = typed.rstrip("\r\n")
    if not password or len(password) > _MAX_PASSWORD:
        raise WrongUse(f"A password has 1 to {_MAX_PASSWORD} characters; it is typed hidden or piped in.")
    return password


def _keep(engine: Engine, email: str, password: str) -> None:
    made = engine.sign_in(email, password)
    try:
        engine.store.keep(engine.server.url, made)
    except OSError as error:
        raise CliError(f"The tokens can't be kept: {error.strerror or error}.") from error


def _forget(store: Store, url: str) -> None:
    try:
        store.forget(url)
    except OSError as error:
        raise CliError(f"The tokens can't be removed: {error.strerror or error}.") from error
