"""Apply and undo Tortoise's migrations in one transaction, with the same files for SQLite and PostgreSQL."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from itertools import takewhile
from pkgutil import iter_modules
from typing import Any, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.context import TortoiseContext
from tortoise.exceptions import OperationalError
from tortoise.migrations.executor import MigrationExecutor, MigrationTarget
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor import BaseSchemaEditor
from tortoise.migrations.schema_generator.state import State
from tortoise.transactions import in_transaction

from src.api.adapters.store.dialects import PostgresDialect, SqliteDialect
from src.api.adapters.store.errors import DRIVER_ERRORS, translate_error
from src.api.adapters.store.migration_state import create_state
from src.api.adapters.store.sqlite_rebuild import IndexPreservingSqliteEditor
from src.api.adapters.store.store import open_store
from src.api.config.database import APP, MIGRATIONS, is_postgres, sqlite_path, tortoise_config
from src.api.utils.file_lock import locked

__all__ = ["ALL_MIGRATIONS", "downgrade", "list_applied", "list_pending", "migrate", "missing_from"]

ALL_MIGRATIONS = "zero"
"""As the target of `downgrade`: undo every migration."""

T = TypeVar("T")
_LOCK_ID = 0x736B79666C6F  # the id of PostgreSQL's advisory lock for migrations
_LOCK_POSTGRES = f"SELECT set_config('lock_timeout', '30s', true), pg_advisory_xact_lock({_LOCK_ID})"
_LOCK_SQLITE = "PRAGMA user_version = 0"  # a write without effect, which takes the write lock


async def migrate(url: str) -> list[str]:
    """Apply all missing migrations and return their names.

    They run in one transaction, including their record. Processes that start at once wait for each other.
    """

    async def run(executor: "_Executor") -> list[str]:
        names = missing_from(await executor.applied())
        await executor.migrate(direction="forward")
        return names

    return await _run_exclusively(url, run)


async def downgrade(url: str, to: str | None = None) -> list[str]:
    """Undo migrations, including the data that they made room for, and return their names.

    Args:
        url: the database.
        to: the last migration to keep, or `ALL_MIGRATIONS`; without it, only the last one is undone.

    Raises:
        ValueError: `to` is not an applied migration.
    """

    async def run(executor: "_Executor") -> list[str]:
        applied = await executor.applied()
        kept = _count_kept(applied, to)
        target = MigrationTarget(app_label=APP, name=applied[kept - 1] if kept else "__first__")
        if applied[kept:]:
            await executor.migrate([target], direction="backward")
        return applied[kept:][::-1]

    return await _run_exclusively(url, run)


async def list_pending(url: str) -> list[str]:
    """List the migrations that the database lacks. Raises `StoreUnavailable`."""
    return missing_from(await list_applied(url))


async def list_applied(url: str) -> list[str]:
    """List the applied migrations, the first one first. Raises `StoreUnavailable`."""
    async with open_store(url, pooled=True, pool_size=1) as store:
        return await store.applied_migrations()


def missing_from(applied: Collection[str]) -> list[str]:
    """List the migrations of this version that are not among the applied ones, without importing them."""
    known = sorted(module.name for module in iter_modules(import_module(MIGRATIONS).__path__))
    return [name for name in known if name not in applied]


class _Recorder(MigrationRecorder):
    """Fix two faults of Tortoise's recorder: it takes every error for an empty record, and on SQLite it ends a
    transaction.
    """

    async def ensure_schema(self, schema_editor: BaseSchemaEditor) -> None:
        statement: str = schema_editor._get_model_sql_data(self.model).table_sql  # noqa: SLF001 -- as its base does
        await self.connection.execute_query(
            statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1).rstrip("; \n")
        )

    async def applied_migrations(self) -> list[MigrationKey]:
        dialect = PostgresDialect if self.connection.capabilities.dialect == "postgres" else SqliteDialect
        _, found = await self.connection.execute_query(dialect.has_migrations)
        return await super().applied_migrations() if found else []


class _Executor(MigrationExecutor):
    def __init__(self, connection: BaseDBAsyncClient, apps: dict[str, dict[str, Any]]) -> None:
        super().__init__(connection, apps)
        self.recorder = self.loader.recorder = _Recorder(connection)

    async def _project_state(self, applied: set[MigrationKey], *, upto: MigrationKey | None = None) -> State:
        """Build the models as of the applied migrations, to which more are applied. Undoing some builds its own."""
        connections = {
            label: app.get("default_connection", "default") for label, app in self.loader.apps_config.items()
        }
        state = create_state(connections)
        for key in takewhile(lambda key: key != upto, self._full_plan()):
            if key in applied:
                migration = self.loader.graph.nodes[key]
                if migration is None:
                    raise ValueError(f"the migration {key.name} was applied, but its file is missing")
                await migration.apply(state, dry_run=True, schema_editor=None)
        return state

    async def applied(self) -> list[str]:
        return [key.name for key in await self.recorder.applied_migrations()]

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        if self.connection.capabilities.dialect == "sqlite":
            return IndexPreservingSqliteEditor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return super()._schema_editor(atomic, collect_sql)


def _count_kept(applied: list[str], to: str | None) -> int:
    if to is None:
        return max(len(applied) - 1, 0)
    if to == ALL_MIGRATIONS:
        return 0
    if to not in applied:
        raise ValueError(f"no migration {to!r} was applied; there are: {', '.join(applied) or 'none'}")
    return applied.index(to) + 1


async def _run_exclusively(url: str, run: Callable[[_Executor], Awaitable[T]]) -> T:
    with _translated_errors():
        async with _sqlite_file_lock(url), _open_tortoise(url) as apps, in_transaction("default") as connection:
            await connection.execute_query(_LOCK_POSTGRES if is_postgres(url) else _LOCK_SQLITE)
            return await run(_Executor(connection, apps))


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Translate errors of the driver, and Tortoise's wrapping them, into the engine's errors."""
    try:
        yield
    except (*DRIVER_ERRORS, OperationalError) as error:
        translated = translate_error(error.args[0] if isinstance(error, OperationalError) else error)
        if translated is None:
            raise
        raise translated from error


@asynccontextmanager
async def _open_tortoise(url: str) -> AsyncIterator[dict[str, dict[str, Any]]]:
    config = tortoise_config(url, pooled=True, pool_size=1, statement_timeout=None)
    async with TortoiseContext() as context:
        await context.init(config=config)
        yield {label: app.to_dict() for label, app in config.apps.items()}


@asynccontextmanager
async def _sqlite_file_lock(url: str) -> AsyncIterator[None]:
    """Let one process at a time migrate a SQLite file. On PostgreSQL the transaction's lock does that."""
    if is_postgres(url):
        yield
        return
    async with locked(sqlite_path(url).with_suffix(".migrating")):
        yield
