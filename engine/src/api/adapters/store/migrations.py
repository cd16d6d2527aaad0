"""The migrations: Tortoise's own, the same files for SQLite and PostgreSQL, each run whole or not at all."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext
from tortoise.exceptions import OperationalError
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor import BaseSchemaEditor
from tortoise.transactions import in_transaction

from src.api.adapters.store.faults import DRIVER_ERRORS, meaning
from src.api.adapters.store.remake import KeepingSqliteEditor
from src.api.config.database import APP, is_postgres, sqlite_path, tortoise_config
from src.api.utils.turns import turn

__all__ = ["EVERYTHING", "downgrade", "history", "migrate", "pending"]

EVERYTHING = "zero"
"""As the target of `downgrade`: undo every migration."""

T = TypeVar("T")
_LOCK = 0x736B79666C6F  # of PostgreSQL's advisory locks, the one that migrations take
_WAIT_POSTGRES = f"SELECT set_config('lock_timeout', '30s', true), pg_advisory_xact_lock({_LOCK})"
_WAIT_SQLITE = "PRAGMA user_version = 0"  # a write, for no other reason than to take the write lock first
_EXISTS_POSTGRES = (
    "SELECT 1 FROM pg_tables WHERE tablename = 'tortoise_migrations' AND schemaname = ANY(current_schemas(false))"
)
_EXISTS_SQLITE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tortoise_migrations'"


async def migrate(url: str) -> list[str]:
    """Brings the database at `url` up to date; the names of the migrations that were applied.

    All of them are one transaction together with the record of them. Those who start at once take turns.
    """

    async def run(executor: "_Executor") -> list[str]:
        names = await executor.missing()
        await executor.migrate(direction="forward")
        return names

    return await _exclusively(url, run)


async def downgrade(url: str, to: str | None = None) -> list[str]:
    """Undoes migrations, and with them what they had made room for; the names of those that were undone.

    Args:
        url: the database.
        to: the migration that remains the last, or `EVERYTHING`; without it only the last one is undone.

    Raises:
        ValueError: `to` is not the name of a migration that was applied.
    """

    async def run(executor: "_Executor") -> list[str]:
        applied = await executor.applied()
        kept = _kept(applied, to)
        target = MigrationTarget(app_label=APP, name=applied[kept - 1] if kept else "__first__")
        if applied[kept:]:
            await executor.migrate([target], direction="backward")
        return applied[kept:][::-1]

    return await _exclusively(url, run)


async def pending(url: str) -> list[str]:
    """The migrations that the database at `url` lacks. Raises `StoreUnavailable`."""
    return await _looking(url, lambda executor: executor.missing())


async def history(url: str) -> list[str]:
    """The migrations that were applied to the database at `url`, the first one first."""
    return await _looking(url, lambda executor: executor.applied())


class _Recorder(MigrationRecorder):
    """Tortoise's own takes every error for an empty record, and on SQLite it ends an open transaction."""

    async def ensure_schema(self, schema_editor: BaseSchemaEditor) -> None:
        made: str = schema_editor._get_model_sql_data(self.model).table_sql  # noqa: SLF001 -- as its base does
        await self.connection.execute_query(
            made.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1).rstrip("; \n")
        )

    async def applied_migrations(self) -> list[MigrationKey]:
        postgres = self.connection.capabilities.dialect == "postgres"
        _, found = await self.connection.execute_query(_EXISTS_POSTGRES if postgres else _EXISTS_SQLITE)
        return await super().applied_migrations() if found else []


class _Executor(MigrationExecutor):
    def __init__(self, connection: BaseDBAsyncClient, apps: dict[str, dict[str, Any]]) -> None:
        super().__init__(connection, apps)
        self.recorder = self.loader.recorder = _Recorder(connection)

    async def missing(self) -> list[str]:
        return [step.migration.name for step in await self.plan()]

    async def applied(self) -> list[str]:
        return [key.name for key in await self.recorder.applied_migrations()]

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        if self.connection.capabilities.dialect == "sqlite":
            return KeepingSqliteEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return super()._schema_editor(atomic, collect_sql)


def _kept(applied: list[str], to: str | None) -> int:
    if to is None:
        return max(len(applied) - 1, 0)
    if to == EVERYTHING:
        return 0
    if to not in applied:
        raise ValueError(f"no migration {to!r} was applied; there are: {', '.join(applied) or 'none'}")
    return applied.index(to) + 1


async def _exclusively(url: str, run: Callable[[_Executor], Awaitable[T]]) -> T:
    with _explained():
        async with _turn(url), _connected(url) as (_, apps), in_transaction("default") as connection:
            await connection.execute_query(_WAIT_POSTGRES if is_postgres(url) else _WAIT_SQLITE)
            return await run(_Executor(connection, apps))


async def _looking(url: str, look: Callable[[_Executor], Awaitable[T]]) -> T:
    with _explained():
        async with _connected(url) as (connection, apps):
            return await look(_Executor(connection, apps))


@contextmanager
def _explained() -> Iterator[None]:
    """Turns a driver's error, and Tortoise's around it, into the fact behind it."""
    try:
        yield
    except (*DRIVER_ERRORS, OperationalError) as error:
        fact = meaning(error.args[0] if isinstance(error, OperationalError) else error)
        if fact is None:
            raise
        raise fact from error


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[tuple[BaseDBAsyncClient, dict[str, dict[str, Any]]]]:
    config = tortoise_config(url, pooled=True, pool_size=1, answer_within=None)
    async with TortoiseContext() as context:
        await context.init(config=config)
        yield context.connections.get("default"), {label: app.to_dict() for label, app in config.apps.items()}


@asynccontextmanager
async def _turn(url: str) -> AsyncIterator[None]:
    """One migrating process at a time on a SQLite file. On PostgreSQL the transaction itself waits for its turn."""
    if is_postgres(url):
        yield
        return
    async with turn(sqlite_path(url).with_suffix(".migrating")):
        yield
