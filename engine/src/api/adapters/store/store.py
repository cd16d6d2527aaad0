"""Implement the store on Tortoise's connections: one code path for SQLite and PostgreSQL."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import asyncpg
from tortoise.context import TortoiseContext

from src.api.adapters.store.dialects import Dialect, PostgresDialect, SqliteDialect
from src.api.adapters.store.errors import DRIVER_ERRORS, is_retryable, translate_error
from src.api.adapters.store.transaction import TortoiseReader, TortoiseTransaction
from src.api.config.database import is_postgres, tortoise_config
from src.api.ports import Reader, RunChanged, Transaction
from src.api.ports.metrics import Metrics, NoMetrics
from src.api.schemas.records import AuditHead
from src.api.utils.failpoints import Failpoints

__all__ = ["TortoiseStore", "open_store"]

T = TypeVar("T")
OnCommit = Callable[[Sequence[RunChanged]], None]

_APPLIED = "SELECT name FROM tortoise_migrations ORDER BY applied_at, name"

MAX_RETRIES = 3
MAX_CACHED_HEADS = 1_000
_inside_body: contextvars.ContextVar[bool] = contextvars.ContextVar("inside a body of the store", default=False)


class TortoiseStore:
    """`Store`, created by `open_store`. After each commit, `on_commit` gets the runs that it changed."""

    def __init__(
        self,
        dialect: Dialect,
        failpoints: Failpoints,
        on_commit: OnCommit,
        clock: Callable[[], int] | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        self._dialect = dialect
        self._failpoints = failpoints
        self._on_commit = on_commit
        self._clock = clock
        self._metrics = metrics or NoMetrics()
        self._context = contextvars.copy_context()
        self._heads: dict[str, AuditHead] = {}

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        """Run `Store.transaction` in its own task, so that a cancelled caller can't leave a BEGIN half done."""
        return await self._run_shielded(lambda: self._run_with_retries(body, upkeep))

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        """Run `Store.read` in its own task: a query that is cancelled midway would cost its connection."""
        return await self._run_shielded(lambda: self._run_read(body))

    async def version(self) -> int | None:
        if not self._dialect.versioned:
            return None
        return await _translate_errors(self._data_version())

    async def applied_migrations(self) -> list[str]:
        """Return the names of the applied migrations, the first one first. Raises `StoreUnavailable`."""

        async def read() -> list[str]:
            async with self._dialect.reading() as session:
                exists = await session.fetch(self._dialect.has_migrations, ())
                return [str(row[0]) for row in await session.fetch(_APPLIED, ())] if exists else []

        return await self._run_shielded(read)

    async def _data_version(self) -> int:
        async with self._dialect.reading() as session:
            rows = await session.fetch("PRAGMA data_version", ())
        return int(rows[0][0])

    async def _run_shielded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if _inside_body.get():
            raise RuntimeError("a body must use only the transaction that it is given, and start no tasks")
        task = asyncio.get_running_loop().create_task(_translate_errors(work()), context=self._context.copy())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await _wait_done(task)
            raise

    async def _run_with_retries(self, body: Callable[[Transaction], Awaitable[T]], upkeep: bool) -> T:
        """Run the transaction, and again at once after a conflict with others, three times at most."""
        for _ in range(MAX_RETRIES):
            try:
                return await self._run_once(body, upkeep)
            except asyncpg.PostgresError as error:
                if not is_retryable(error):
                    raise
        return await self._run_once(body, upkeep)

    async def _run_once(self, body: Callable[[Transaction], Awaitable[T]], upkeep: bool) -> T:
        name = _failpoint_name(body)
        async with self._dialect.transaction(upkeep) as session:
            transaction = TortoiseTransaction(session, self._dialect, self._clock, self._heads)
            with _body_marker():
                result = await body(transaction)
                await transaction.finish()
            self._failpoints.pass_(f"{name}:before_commit")
            await session.commit()
        self._failpoints.pass_(f"{name}:after_commit")
        self._cache_heads(transaction.new_heads)
        self._metrics.committed(transaction.changes)
        self._on_commit(transaction.run_changes())
        return result

    def _cache_heads(self, heads: Sequence[AuditHead]) -> None:
        """Cache the heads of the streams that moved last: most entries of a stream come from one process."""
        for head in heads:
            self._heads.pop(head.stream, None)
            self._heads[head.stream] = head
        while len(self._heads) > MAX_CACHED_HEADS:
            del self._heads[next(iter(self._heads))]

    async def _run_read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        async with self._dialect.reading() as session:
            reader = TortoiseReader(session, self._dialect)
            with _body_marker():
                result = await body(reader)
            reader.end()
        return result


@contextmanager
def _body_marker() -> Iterator[None]:
    """Mark the context as inside a body; tasks that the body starts inherit the mark."""
    token = _inside_body.set(True)
    try:
        yield
    finally:
        _inside_body.reset(token)


async def _translate_errors(work: Awaitable[T]) -> T:
    """Translate a driver's error into the engine's error."""
    try:
        return await work
    except DRIVER_ERRORS as error:
        translated = translate_error(error)
        if translated is None:
            raise
        raise translated from error


async def _wait_done(task: "asyncio.Task[Any]") -> None:
    """Wait until the task is done, even if the waiter is cancelled repeatedly."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()


def _failpoint_name(body: Callable[..., Any]) -> str:
    """Name the failpoint after the function that holds the body, as `runs.queries.Runs.stop`."""
    while isinstance(body, partial):
        body = body.func
    module = body.__module__.rpartition(".services.")[2]
    return f"{module}.{body.__qualname__.partition('.<locals>')[0]}"


@asynccontextmanager
async def open_store(
    url: str,
    *,
    on_commit: OnCommit = lambda _: None,
    failpoints: Failpoints | None = None,
    pooled: bool = False,
    pool_size: int = 10,
    clock: Callable[[], int] | None = None,
    metrics: Metrics | None = None,
) -> AsyncIterator[TortoiseStore]:
    """Open the database at `url`, and close it at the end. `adapters.store.migrations` creates the tables before.

    It does not connect yet: a database that is down now is used as soon as it is up.

    Args:
        url: `postgres://…` or `sqlite://<path>`.
        on_commit: called after each commit with the runs that it changed.
        failpoints: the armed failpoints of this process.
        pooled: PostgreSQL is behind a pooler in transaction mode.
        pool_size: connections to PostgreSQL, in addition to one for upkeep.
        clock: replaces the database's clock in tests, in ms.
        metrics: counts the rows that each transaction wrote, after its commit.
    """
    context = TortoiseContext()
    with context:
        await context.init(config=tortoise_config(url, pooled=pooled, pool_size=pool_size))
    clients: dict[str, Any] = {name: context.connections.get(name) for name in context.connections.db_config}
    dialect: Dialect = PostgresDialect(clients, pooled=pooled) if is_postgres(url) else SqliteDialect(clients)
    try:
        yield TortoiseStore(dialect, failpoints or Failpoints(), on_commit, clock, metrics)
    finally:
        await context.close_connections()
