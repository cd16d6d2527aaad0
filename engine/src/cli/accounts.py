"""Run `skyflo login`, `logout` and `whoami`."""

from __future__ import annotations

import getpass
import sys

from rich.text import Text

from src.cli.client import EngineClient, open_engine
from src.cli.console import Terminal
from src.cli.credentials import CredentialStore, token_from_environment
from src.cli.errors import DONE, CliError, EngineError, UsageError
from src.cli.jsontypes import JsonObject, flag, text
from src.cli.text import one_line

__all__ = ["login", "logout", "whoami"]

_MAX_PASSWORD = 256


def login(email: str | None, register: bool, server: str | None, insecure: bool) -> int:
    """Sign in and store the tokens; offer to create the first account if the engine has none."""
    terminal = Terminal()
    with open_engine(server, insecure) as engine:
        if not engine.server.is_safe_for_secrets and not insecure:
            raise UsageError(
                f"{engine.server.url} is not encrypted, so no password is sent there. Use https, or add --insecure."
            )
        if email is None and _is_known_already(engine, terminal):
            return DONE
        first = flag(engine.get("/auth/is_admin_user"), "is_admin") is True
        if first:
            _confirm_registration(terminal, register)
        address = email or _ask_line(terminal, "E-mail: ")
        password = _read_password(terminal)
        if first:
            if terminal.interactive and getpass.getpass("Password again: ") != password:
                raise UsageError("The two passwords differ, so no account was created.")
            engine.post("/auth/register/register", {"email": address, "password": password})
        _save_tokens(engine, address, password)
        terminal.show(Text(f"Signed in at {engine.server.url} as {one_line(address)}."))
    return DONE


def logout(server: str | None, insecure: bool) -> int:
    """End the session at the engine and delete its stored tokens.

    The tokens are deleted even if the engine does not answer.
    """
    terminal = Terminal()
    with open_engine(server, insecure) as engine:
        url = engine.server.url
        if engine.store.login(url) is None:
            terminal.show(Text(f"Not signed in at {url}."))
            return DONE
        try:
            engine.post("/auth/logout")
        except CliError as error:
            terminal.note(Text(f"! The engine could not end the session: {error}"))
        _delete_tokens(engine.store, url)
        terminal.show(Text(f"Signed out at {url}."))
    return DONE


def whoami(server: str | None, insecure: bool) -> int:
    with open_engine(server, insecure) as engine:
        me = engine.get("/auth/me")
        Terminal().show(_describe_user(engine, me))
    return DONE


def _describe_user(engine: EngineClient, me: JsonObject) -> Text:
    return Text(f"{one_line(text(me, 'email'))} ({one_line(text(me, 'role'))}) at {engine.server.url}")


def _is_known_already(engine: EngineClient, terminal: Terminal) -> bool:
    """Return whether the engine accepts this machine without a login, as in local mode."""
    if engine.store.login(engine.server.url) is not None or token_from_environment() is not None:
        return False
    try:
        me = engine.get("/auth/me")
    except EngineError:
        return False
    terminal.show(Text("No need to sign in: you are ").append_text(_describe_user(engine, me)).append("."))
    return True


def _confirm_registration(terminal: Terminal, register: bool) -> None:
    explanation = "This engine has no account yet; the owner of the first account becomes the admin."
    if register:
        return
    if not terminal.interactive:
        raise UsageError(f"{explanation} Add --register to create it.")
    terminal.show(Text(explanation))
    if not _ask_line(terminal, "Create it now? [y/N] ").lower().startswith("y"):
        raise UsageError("No account was created.")


def _ask_line(terminal: Terminal, question: str) -> str:
    if not terminal.interactive:
        raise UsageError("Pass your e-mail address with --email.")
    try:
        return input(question).strip()
    except EOFError as error:
        raise UsageError("Nothing was typed.") from error


def _read_password(terminal: Terminal) -> str:
    """Read a password: hidden at a terminal, otherwise the first line of standard input."""
    try:
        typed = getpass.getpass("Password: ") if terminal.interactive else sys.stdin.readline(_MAX_PASSWORD + 2)
    except EOFError as error:
        raise UsageError("No password was typed.") from error
    password = typed.rstrip("\r\n")
    if not password or len(password) > _MAX_PASSWORD:
        raise UsageError(f"A password has 1 to {_MAX_PASSWORD} characters. Type it at the prompt or pipe it in.")
    return password


def _save_tokens(engine: EngineClient, email: str, password: str) -> None:
    tokens = engine.sign_in(email, password)
    try:
        engine.store.save(engine.server.url, tokens)
    except OSError as error:
        raise CliError(f"The tokens can't be stored: {error.strerror or error}.") from error


def _delete_tokens(store: CredentialStore, url: str) -> None:
    try:
        store.delete(url)
    except OSError as error:
        raise CliError(f"The tokens can't be deleted: {error.strerror or error}.") from error
