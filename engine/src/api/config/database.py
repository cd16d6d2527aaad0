"""Build Tortoise's configuration from a database URL, for the store and the migration command."""

import os
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from tortoise.config import AppConfig, ConnectionConfig, DBUrlConfig, TortoiseConfig

from src.api.config.settings import env_files

__all__ = [
    "APP",
    "MIGRATIONS",
    "connection_parameters",
    "database_url",
    "is_postgres",
    "sqlite_path",
    "tortoise_config",
]

APP = "models"
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 15
_PACKAGE = __name__.removesuffix(".api.config.database")
MIGRATIONS = (
    "migrations" if _PACKAGE == "src" else f"{_PACKAGE}.migrations"
)  # the folder next to `src`, or of the wheel
_APPS = {APP: AppConfig(models=["src.api.models"], default_connection="default", migrations=MIGRATIONS)}

_OPTIONS = {"application_name": "application_name", "host": "host", "schema": "schema", "sslmode": "ssl"}


def is_postgres(url: str) -> bool:
    return urlsplit(url).scheme in ("postgres", "postgresql", "asyncpg")


def sqlite_path(url: str) -> Path:
    """Return the file of a `sqlite://` URL."""
    return Path(url.removeprefix("sqlite://").partition("?")[0])


class _DatabaseSettings(BaseSettings):
    """The settings that a migration needs."""

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", hide_input_in_errors=True)
    data_dir: Path = Path(".data")
    postgres_database_url: str | None = Field(default=None, pattern=r"^postgres(ql)?://", repr=False)


def database_url() -> str:
    """Return the database URL from the environment and `.env`, read as `Settings` reads them."""
    settings = _DatabaseSettings(_env_file=env_files(os.environ))
    return settings.postgres_database_url or f"sqlite://{settings.data_dir / 'skyflo.sqlite3'}"


def tortoise_config(
    url: str, *, pooled: bool = False, pool_size: int = 10, statement_timeout: float | None = STATEMENT_SECONDS
) -> TortoiseConfig:
    """Configure the connections `default`, `upkeep` and, on SQLite, `reader`.

    Args:
        url: `postgres://`, `postgresql://` or `sqlite://<path>`.
        pooled: PostgreSQL is behind a pooler in transaction mode, so statements must not be prepared.
        pool_size: the most connections to PostgreSQL, in addition to one for upkeep.
        statement_timeout: the longest time for one statement on PostgreSQL, in s; None for no limit.
    """
    connections: dict[str, ConnectionConfig | DBUrlConfig]
    if is_postgres(url):
        sizes = {"default": pool_size, "upkeep": 1}
        connections = {name: _postgres(url, pooled, size, statement_timeout) for name, size in sizes.items()}
    else:
        connections = {name: _sqlite(url) for name in ("default", "reader", "upkeep")}
    return TortoiseConfig(connections=connections, apps=_APPS, use_tz=True)


def connection_parameters(url: str) -> dict[str, object]:
    """Return asyncpg's parameters for one connection to the server that the URL names."""
    parts = urlsplit(url)
    options = _parse_options(parts.query)
    return {
        "host": parts.hostname or "localhost",
        "port": parts.port or 5432,
        "user": unquote(parts.username or "postgres"),
        "password": unquote(parts.password) if parts.password else None,
        "database": unquote(parts.path.lstrip("/")) or "postgres",
        "timeout": CONNECT_SECONDS,
        **{name: value for name, value in options.items() if name in ("host", "ssl")},
    }


def _postgres(url: str, pooled: bool, pool_size: int, statement_timeout: float | None) -> ConnectionConfig:
    credentials: dict[str, object] = {
        **connection_parameters(url),
        "minsize": 1,
        "maxsize": pool_size,
        "command_timeout": statement_timeout,
        "reset": _skip_reset,
        **_parse_options(urlsplit(url).query),
    }
    if pooled:
        credentials["statement_cache_size"] = 0
    return ConnectionConfig(engine="tortoise.backends.asyncpg", credentials=credentials)


def _parse_options(query: str) -> dict[str, object]:
    """Translate libpq's URL options to asyncpg's names."""
    given = dict(parse_qsl(query))
    unknown = given.keys() - _OPTIONS.keys()
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise ValueError(f"POSTGRES_DATABASE_URL: unknown option {', '.join(sorted(unknown))}; there are {known}")
    return {_OPTIONS[name]: value for name, value in given.items()}


async def _skip_reset(connection: object) -> None:
    """Skip asyncpg's RESET after each use, which costs a round trip: the store leaves no state on a connection."""


def _sqlite(url: str) -> ConnectionConfig:
    pragmas = {"journal_mode": "WAL", "synchronous": "FULL", "busy_timeout": 5000, "foreign_keys": "ON"}
    return ConnectionConfig(
        engine="tortoise.backends.sqlite", credentials={"file_path": str(sqlite_path(url)), **pragmas}
    )


def __getattr__(name: str) -> object:
    if name == "TORTOISE_ORM":
        return tortoise_config(database_url()).to_dict()
    raise AttributeError(name)
