"""What can be checked on this machine before any engine runs: settings, data, database, Redis, model, tool servers."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import sqlite3
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from src.cli.findings import Finding, bad, bare, good, odd, reason

if TYPE_CHECKING:
    from src.api.config.sandbox import Parts
    from src.api.config.settings import Settings

__all__ = ["ASK_SECONDS", "data_folder", "database", "model", "redis", "replaced", "settings", "tool_servers"]

ASK_SECONDS = 3.0


def settings() -> tuple[Settings | None, list[Finding]]:
    """As `skyflo up` would read them; nothing is written for it."""
    from dotenv import dotenv_values

    from src.api.config.settings import CHECKOUT, Settings, SettingsError, env_files

    read: list[Mapping[str, str | None]] = [dotenv_values(file) for file in env_files(os.environ) if file.is_file()]
    known = {name: value for values in (*read, os.environ) for name, value in values.items() if value}
    assumed = {"LOCAL_MODE": "true", "DATA_DIR": str(CHECKOUT / ".data")}
    if known.get("LOCAL_MODE", "true").lower() in ("true", "1", "yes", "on", "t", "y"):
        assumed["JWT_SECRET"] = secrets.token_hex(32)  # else one would be made and kept
    os.environ.update({name: value for name, value in assumed.items() if name not in known})
    try:
        found = Settings.load()
    except SettingsError as error:
        return None, [bad("settings", problem) for problem in error.problems]
    mode = "local mode: whoever is at this machine is the admin" if found.local_mode else "people sign in"
    return found, [good("settings", f"All can be read; {mode}.")]


def replaced(settings: Settings) -> tuple[Parts, list[Finding]]:
    """What the sandbox will stand in for."""
    from src.api.config.sandbox import Parts, parts
    from src.api.config.settings import SettingsError

    try:
        found = parts(settings)
    except SettingsError as error:
        return Parts(), [bad("sandbox", problem) for problem in error.problems]
    standing_in = " and ".join(name for name, is_it in (("model", found.model), ("cluster", found.cluster)) if is_it)
    if standing_in:
        return found, [good("sandbox", f"Stands in for the {standing_in} (SANDBOX={settings.sandbox}).")]
    return found, [good("sandbox", f"Not needed (SANDBOX={settings.sandbox}).")]


def data_folder(settings: Settings) -> list[Finding]:
    folder = settings.data_dir
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        return [bad("data", f"{folder} can't be used ({reason(error)}): name a folder in DATA_DIR.")]
    return [good("data", f"{folder}" if there == folder else f"{folder} will be made.")]


def database(settings: Settings) -> list[Finding]:
    if settings.postgres_database_url is not None:
        return [_postgres(settings.postgres_database_url)]
    file = settings.data_dir / "skyflo.sqlite3"
    if not file.exists():
        return [good("database", "SQLite in the data folder; made at the first start.")]
    try:
        return [_sqlite(file)]
    except sqlite3.Error as error:
        return [bad("database", f"{file} can't be read ({error}): restore it, or name another DATA_DIR.")]


def redis(settings: Settings) -> list[Finding]:
    if settings.redis_url is None:
        return [good("redis", "Off: one process needs none; set REDIS_URL to run several.")]
    from redis import Redis, RedisError

    shown = bare(settings.redis_url)
    wait = {"socket_connect_timeout": ASK_SECONDS, "socket_timeout": ASK_SECONDS}
    try:
        with Redis.from_url(settings.redis_url, **wait) as asked:
            asked.ping()
    except (RedisError, OSError, ValueError) as error:
        return [bad("redis", f"{shown} does not answer ({reason(error)}): start it, or unset REDIS_URL.")]
    return [good("redis", f"{shown} answers.")]


def model(settings: Settings, stands_in: bool) -> list[Finding]:
    from src.api.config.needs import model_need

    need = model_need(settings)
    if stands_in:
        return [odd("model", f"The sandbox's rules, not a language model. {need or ''}")]
    if need is not None:
        return [bad("model", need)]
    if settings.llm_host is None:
        return [good("model", f"{settings.llm_model}; its key is set. It was not asked.")]
    return [_host(settings, settings.llm_host)]


def tool_servers(settings: Settings) -> list[Finding]:
    return [_ours(settings), *(_other(one.name, one.url, one.token_env, settings) for one in settings.mcp_servers)]


def _ours(settings: Settings) -> Finding:
    if settings.mcp_server_url is None:
        if importlib.util.find_spec("skyflo_tools") is None:
            return bad("tools", "skyflo-tools is not installed: install it from mcp/, or set MCP_SERVER_URL.")
        return good("tools", "Ours, started with the engine.")
    missing = [name for name in ("mcp_server_token", "mcp_grant_key") if getattr(settings, name) is None]
    if missing:
        return odd("tools", f"{bare(settings.mcp_server_url)} is named without {' and '.join(missing).upper()}.")
    return _reached("tools", settings.mcp_server_url)


def _other(name: str, url: str, token_env: str | None, settings: Settings) -> Finding:
    if token_env and not settings.environment.get(token_env):
        return bad("tools", f"{name}: its token should be in {token_env}, which is not set.")
    return _reached("tools", url, f"{name}: ")


def _reached(name: str, url: str, before: str = "") -> Finding:
    """Any answer will do: only the engine knows how to speak to it."""
    import httpx

    try:
        httpx.get(url, timeout=ASK_SECONDS)
    except httpx.HTTPError as error:
        return bad(name, f"{before}{bare(url)} does not answer ({reason(error)}): start it, or correct its address.")
    return good(name, f"{before}{bare(url)} answers.")


def _host(settings: Settings, host: str) -> Finding:
    """A server of models is asked for its list, which costs nothing."""
    import httpx

    key = settings.environment.get("OPENAI_API_KEY")
    bearer = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{host.rstrip('/')}/models", headers=bearer, timeout=ASK_SECONDS)
    except httpx.HTTPError as error:
        return bad("model", f"{bare(host)} does not answer ({reason(error)}): start it, or correct LLM_HOST.")
    if answer.status_code in (401, 403):
        return bad("model", f"{bare(host)} refuses the key ({answer.status_code}): set the right OPENAI_API_KEY.")
    if not answer.is_success:
        return odd("model", f"{bare(host)} answers {answer.status_code} for its list of models.")
    return good("model", f"{settings.llm_model} at {bare(host)}, which answers.")


def _sqlite(file: Path) -> Finding:
    with sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=ASK_SECONDS) as asked:
        asked.execute("SELECT count(*) FROM sqlite_master").fetchone()
    asked.close()
    return good("database", f"SQLite at {file}.")


def _postgres(url: str) -> Finding:
    import asyncpg

    async def ask() -> None:
        connection = await asyncpg.connect(url, timeout=ASK_SECONDS)
        await connection.close(timeout=ASK_SECONDS)

    try:
        asyncio.run(ask())
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        said = str(error) if isinstance(error, asyncpg.PostgresError) else reason(error)
        return bad("database", f"{bare(url)} can't be used ({said}): start it, or correct POSTGRES_DATABASE_URL.")
    return good("database", f"{bare(url)} answers.")
