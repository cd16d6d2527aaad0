"""Check this machine without a running engine: settings, data, database, Redis, model and tool servers."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import secrets
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from src.cli.check_result import CheckResult, describe_error, failed, passed, redact_url, warned

if TYPE_CHECKING:
    from src.api.config.mcp_server import McpServer
    from src.api.config.sandbox import SandboxParts
    from src.api.config.settings import Settings

__all__ = [
    "TIMEOUT_SECONDS",
    "check_data_folder",
    "check_database",
    "check_model",
    "check_redis",
    "check_sandbox",
    "check_settings",
    "check_tool_servers",
]

TIMEOUT_SECONDS = 3.0


def check_settings() -> tuple[Settings | None, list[CheckResult]]:
    """Load the settings as `skyflo up` would, without writing any file."""
    from src.api.config.local_defaults import set_local_defaults
    from src.api.config.settings import Settings, SettingsError

    known = set_local_defaults()
    if "JWT_SECRET" not in known and known["LOCAL_MODE"].lower() in ("true", "1", "yes", "on", "t", "y"):
        os.environ["JWT_SECRET"] = secrets.token_hex(32)  # otherwise the settings would generate one and save it
    try:
        found = Settings.load()
    except SettingsError as error:
        return None, [failed("settings", problem) for problem in error.problems]
    mode = "local mode: every user of this machine is the admin" if found.local_mode else "users sign in"
    return found, [passed("settings", f"All settings are valid; {mode}.")]


def check_sandbox(settings: Settings) -> tuple[SandboxParts, list[CheckResult]]:
    """Find out what the sandbox will replace."""
    from src.api.config.sandbox import SandboxParts, select_parts
    from src.api.config.settings import SettingsError

    try:
        found = select_parts(settings)
    except SettingsError as error:
        return SandboxParts(), [failed("sandbox", problem) for problem in error.problems]
    replaced = " and ".join(
        name for name, is_replaced in (("model", found.model), ("cluster", found.cluster)) if is_replaced
    )
    if replaced:
        return found, [passed("sandbox", f"Replaces the {replaced} (SANDBOX={settings.sandbox}).")]
    return found, [passed("sandbox", f"Not used (SANDBOX={settings.sandbox}).")]


def check_data_folder(settings: Settings) -> list[CheckResult]:
    folder = settings.data_dir
    existing = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return [failed("data", f"{folder} can't be used ({describe_error(error)}): set DATA_DIR to another folder.")]
    return [passed("data", f"{folder}" if existing == folder else f"{folder} will be created.")]


def check_database(settings: Settings) -> list[CheckResult]:
    if settings.postgres_database_url is not None:
        return [_check_postgres(settings.postgres_database_url, settings.db_pooler)]
    file = settings.data_dir / "skyflo.sqlite3"
    if not file.exists():
        return [passed("database", "SQLite in the data folder; created at the first start.")]
    try:
        return [_check_sqlite(file)]
    except sqlite3.Error as error:
        return [failed("database", f"{file} can't be read ({error}): restore it, or set another DATA_DIR.")]


def check_redis(settings: Settings) -> list[CheckResult]:
    if settings.redis_url is None:
        return [passed("redis", "Not used: set REDIS_URL to run several processes.")]
    from redis import Redis, RedisError

    address = redact_url(settings.redis_url)
    timeouts = {"socket_connect_timeout": TIMEOUT_SECONDS, "socket_timeout": TIMEOUT_SECONDS}
    try:
        with Redis.from_url(settings.redis_url, **timeouts) as connection:
            connection.ping()
    except (RedisError, OSError, ValueError) as error:
        return [failed("redis", f"{address} does not answer ({describe_error(error)}): start it, or unset REDIS_URL.")]
    return [passed("redis", f"{address} answers.")]


def check_model(settings: Settings, is_sandbox: bool) -> list[CheckResult]:
    from src.api.config.startup_checks import check_model_settings

    problem = check_model_settings(settings)
    if is_sandbox:
        return [warned("model", f"The sandbox's scripted model, not a language model. {problem or ''}")]
    if problem is not None:
        return [failed("model", problem)]
    if settings.llm_host is None:
        return [passed("model", f"{settings.llm_model}; its key is set. It was not contacted.")]
    return [_check_model_host(settings, settings.llm_host)]


def check_tool_servers(settings: Settings) -> list[CheckResult]:
    return [
        _check_own_server(settings),
        *(_check_other_server(one, settings) for one in settings.mcp_servers),
    ]


def _check_own_server(settings: Settings) -> CheckResult:
    if settings.mcp_server_url is None:
        if importlib.util.find_spec("skyflo_tools") is None:
            return failed("tools", "skyflo-tools is not installed: install it from mcp/, or set MCP_SERVER_URL.")
        return passed("tools", "The built-in tool server, started with the engine.")
    missing = [name for name in ("mcp_server_token", "mcp_grant_key") if not getattr(settings, name)]
    if missing:
        return warned("tools", f"{redact_url(settings.mcp_server_url)} is set without {' and '.join(missing).upper()}.")
    return _check_reachable("tools", settings.mcp_server_url)


def _check_other_server(server: McpServer, settings: Settings) -> CheckResult:
    needed = [*server.env_from, *([server.token_env] if server.token_env else [])]
    missing = [name for name in needed if not settings.environment.get(name)]
    if missing:
        return failed("tools", f"{server.name}: what it needs is missing: set {', '.join(missing)}.")
    if server.url is not None:
        return _check_reachable("tools", server.url, f"{server.name}: ")
    found = shutil.which(server.command or "", path=settings.environment.get("PATH"))
    if found is None:
        return failed("tools", f"{server.name}: its command {server.command} is not there: install it, or correct it.")
    return passed("tools", f"{server.name}: {found}, started with the engine.")


def _check_reachable(name: str, url: str, prefix: str = "") -> CheckResult:
    """Check that something answers; any HTTP status will do, since only the engine speaks the protocol."""
    import httpx

    try:
        httpx.get(url, timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        return failed(
            name,
            f"{prefix}{redact_url(url)} does not answer ({describe_error(error)}): start it, or correct its address.",
        )
    return passed(name, f"{prefix}{redact_url(url)} answers.")


def _check_model_host(settings: Settings, host: str) -> CheckResult:
    """Request the list of models, which costs nothing."""
    import httpx

    key = settings.environment.get("OPENAI_API_KEY")
    bearer = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        answer = httpx.get(f"{host.rstrip('/')}/models", headers=bearer, timeout=TIMEOUT_SECONDS)
    except httpx.HTTPError as error:
        return failed(
            "model", f"{redact_url(host)} does not answer ({describe_error(error)}): start it, or correct LLM_HOST."
        )
    if answer.status_code in (401, 403):
        return failed(
            "model", f"{redact_url(host)} rejects the key ({answer.status_code}): set the right OPENAI_API_KEY."
        )
    if not answer.is_success:
        return warned("model", f"{redact_url(host)} answered {answer.status_code} to a request for its models.")
    return passed("model", f"{settings.llm_model} at {redact_url(host)}, which answers.")


def _check_sqlite(file: Path) -> CheckResult:
    location = f"{file.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(location, uri=True, timeout=TIMEOUT_SECONDS)) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return passed("database", f"SQLite at {file}.")


def _check_postgres(url: str, pooler: str) -> CheckResult:
    import asyncpg

    from src.api.config.pooling import POOLER_FOUND, has_transaction_pooler

    try:
        has_pooler = asyncio.run(has_transaction_pooler(url))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        detail = str(error) if isinstance(error, asyncpg.PostgresError) else describe_error(error)
        return failed(
            "database", f"{redact_url(url)} can't be used ({detail}): start it, or correct POSTGRES_DATABASE_URL."
        )
    if has_pooler and pooler not in ("auto", "transaction"):
        return failed("database", f"{POOLER_FOUND}, and DB_POOLER={pooler}: set DB_POOLER=transaction.")
    if has_pooler:
        return passed("database", f"{redact_url(url)} answers. {POOLER_FOUND} (DB_POOLER={pooler}).")
    return passed("database", f"{redact_url(url)} answers.")
