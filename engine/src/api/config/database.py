"""Where the tables live: Tortoise's configuration for an address, used by the store and by the migration command."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from tortoise.config import AppConfig, ConnectionConfig, DBUrlConfig, TortoiseConfig

from src.api.config.settings import env_files

__all__ = ["APP", "database_url", "is_postgres", "sqlite_path", "tortoise_config"]

APP = "models"
CONNECT_WITHIN_SECONDS = 5
ANSWER_WITHIN_SECONDS = 15
_APPS = {APP: AppConfig(models=["src.api.models"], default_connection="default", migrations="migrations")}

_OPTIONS = {"application_name": "application_name", "host": "host", "schema": "schema", "sslmode": "ssl"}


def is_postgres(url: str) -> bool:
    return urlsplit(url).scheme in ("postgres", "postgresql", "asyncpg")


def sqlite_path(url: str) -> Path:
    """The file of a `sqlite://` address."""
    return Path(url.removeprefix("sqlite://").partition("?")[0])


class _Named(BaseSettings):
    """Of the settings, what names the database: a migration needs no more of them."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)
    data_dir: Path = Path(".data")
    postgres_database_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://", repr=False)


def database_url() -> str:
    """The address that environment and `.env` name, read as `Settings` reads them: PostgreSQL, or the SQLite file."""
    named = _Named(_env_file=env_files(os.environ))
    return named.postgres_database_url or f"sqlite://{named.data_dir / 'skyflo.sqlite3'}"


def tortoise_config(
    url: str, *, pooled: bool = False, pool_size: int = 10, answer_within: float | None = ANSWER_WITHIN_SECONDS
) -> TortoiseConfig:
    """Tortoise's configuration with the connections `default`, `upkeep` and, on SQLite, `reader`.

    Args:
        url: `postgres://`, `postgresql://` or `sqlite://<path>`.
        pooled: a pooler in transaction mode stands before PostgreSQL, so no statement may be prepared for later.
        pool_size: connections to PostgreSQL at most, besides one for upkeep.
        answer_within: how long PostgreSQL may take for a statement, in s; None: without end.
    """
    connections: dict[str, ConnectionConfig | DBUrlConfig]
    if is_postgres(url):
        sizes = {"default": pool_size, "upkeep": 1}
        connections = {name: _postgres(url, pooled, size, answer_within) for name, size in sizes.items()}
    else:
        connections = {name: _sqlite(url) for name in ("default", "reader", "upkeep")}
    return TortoiseConfig(connections=connections, apps=_APPS, use_tz=True)


def _postgres(url: str, pooled: bool, pool_size: int, answer_within: float | None) -> ConnectionConfig:
    parts = urlsplit(url)
    credentials: dict[str, object] = {
        "host": parts.hostname or "localhost",
        "port": parts.port or 5432,
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.lstrip("/")) or "postgres",
        "minsize": 1,
        "maxsize": pool_size,
        "timeout": CONNECT_WITHIN_SECONDS,
        "command_timeout": answer_within,
        "reset": _keep,
        **_options(parts.query),
    }
    if pooled:
        credentials["statement_cache_size"] = 0
    return ConnectionConfig(engine="tortoise.backends.asyncpg", credentials=credentials)


def _options(query: str) -> dict[str, object]:
    """What libpq's addresses say after the question mark, as asyncpg names it."""
    given = dict(parse_qsl(query))
    unknown = given.keys() - _OPTIONS.keys()
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise ValueError(f"POSTGRES_DATABASE_URL: unknown option {', '.join(sorted(unknown))}; there are {known}")
    return {_OPTIONS[name]: value for name, value in given.items()}


async def _keep(connection: object) -> None:
    """Instead of asyncpg's RESET after each use, one round trip more: the store leaves no state on a connection."""


def _sqlite(url: str) -> ConnectionConfig:
    pragmas = {"journal_mode": "WAL", "synchronous": "FULL", "busy_timeout": 5000, "foreign_keys": "ON"}
    return ConnectionConfig(
        engine="tortoise.backends.sqlite", credentials={"file_path": str(sqlite_path(url)), **pragmas}
    )


def __getattr__(name: str) -> object:
    if name == "TORTOISE_ORM":
        return tortoise_config(database_url()).to_dict()
    raise AttributeError(name)
