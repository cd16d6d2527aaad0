"""The store over Tortoise ORM: SQLite and PostgreSQL by one path of SQL."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, TypeVar

import asyncpg
from tortoise.context import TortoiseContext

from src.api.adapters.store.faults import DRIVER_ERRORS, is_repeatable, meaning
from src.api.adapters.store.sessions import Dialect, PostgresDialect, SqliteDialect
from src.api.adapters.store.transaction import TortoiseReader, TortoiseTransaction
from src.api.config.database import is_postgres, tortoise_config
from src.api.ports import Reader, Transaction
from src.api.schemas.trail import AuditHead
from src.api.utils.failpoints import Failpoints

__all__ = ["TortoiseStore", "open_store"]

T = TypeVar("T")
Committed = Callable[[frozenset[str]], None]

REPEATS = 3
MOST_HEADS = 1_000
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("inside a body of the store", default=False)


class TortoiseStore:
    """`Store`. Made by `open_store`; `committed` is told, after each commit, which runs it touched."""

    def __init__(
        self, dialect: Dialect, failpoints: Failpoints, committed: Committed, clock: Callable[[], int] | None = None
    ) -> None:
        self._dialect = dialect
        self._failpoints = failpoints
        self._committed = committed
        self._clock = clock
        self._context = contextvars.copy_context()
        self._heads: dict[str, AuditHead] = {}

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        """`Store.transaction`. The body runs in a task of its own: a cancelled caller can't leave BEGIN half done."""
        return await self._shielded(lambda: self._repeated(body, upkeep))

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        """`Store.read`. Also shielded: a query cut in the middle would cost its connection."""
        return await self._shielded(lambda: self._reading(body))

    async def version(self) -> int | None:
        if not self._dialect.versioned:
            return None
        return await _explained(self._data_version())

    async def _data_version(self) -> int:
        async with self._dialect.reading() as session:
            rows = await session.fetch("PRAGMA data_version", ())
        return int(rows[0][0])

    async def _shielded(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if _inside.get():
            raise RuntimeError("a body uses the transaction it was given and no other, and starts no tasks")
        task = asyncio.get_running_loop().create_task(_explained(work()), context=self._context.copy())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            await _outcome(task)
            raise

    async def _repeated(self, body: Callable[[Transaction], Awaitable[T]], upkeep: bool) -> T:
        """Conflicts with others are nobody's fault: the transaction is done again at once, three times at most."""
        for _ in range(REPEATS):
            try:
                return await self._once(body, upkeep)
            except asyncpg.PostgresError as error:
                if not is_repeatable(error):
                    raise
        return await self._once(body, upkeep)

    async def _once(self, body: Callable[[Transaction], Awaitable[T]], upkeep: bool) -> T:
        name = _name(body)
        async with self._dialect.transaction(upkeep) as session:
            transaction = TortoiseTransaction(session, self._dialect, self._clock, self._heads)
            with _in_body():
                result = await body(transaction)
                await transaction.conclude()
            self._failpoints.pass_(f"{name}:before_commit")
            await session.commit()
        self._failpoints.pass_(f"{name}:after_commit")
        self._remember(transaction.moved)
        self._committed(frozenset(transaction.touched))
        return result

    def _remember(self, heads: Sequence[AuditHead]) -> None:
        """Where streams of the trail end, those that moved last: most entries of a stream come from one process."""
        for head in heads:
            self._heads.pop(head.stream, None)
            self._heads[head.stream] = head
        while len(self._heads) > MOST_HEADS:
            del self._heads[next(iter(self._heads))]

    async def _reading(self, body: Callable[[Reader], Awaitable[T]]) -> T:
        async with self._dialect.reading() as session:
            reader = TortoiseReader(session, self._dialect)
            with _in_body():
                result = await body(reader)
            reader.end()
        return result


@contextmanager
def _in_body() -> Iterator[None]:
    """Marks the context, which every task that is started in the block inherits."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


async def _explained(work: Awaitable[T]) -> T:
    """Turns a driver's error into the fact behind it."""
    try:
        return await work
    except DRIVER_ERRORS as error:
        fact = meaning(error)
        if fact is None:
            raise
        raise fact from error


async def _outcome(task: "asyncio.Task[Any]") -> None:
    """Waits for the task, however often the waiter is cancelled meanwhile."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
    if not task.cancelled():
        task.exception()


def _name(body: Callable[..., Any]) -> str:
    """The failpoint's name: the module and the function in which the body is written, as `runs.Runs.stop`."""
    while isinstance(body, partial):
        body = body.func
    module = body.__module__.rpartition(".")[2]
    return f"{module}.{body.__qualname__.partition('.<locals>')[0]}"


@asynccontextmanager
async def open_store(
    url: str,
    *,
    committed: Committed = lambda _: None,
    failpoints: Failpoints | None = None,
    pooled: bool = False,
    pool_size: int = 10,
    clock: Callable[[], int] | None = None,
) -> AsyncIterator[TortoiseStore]:
    """Opens the database at `url` and closes it. The tables must be there: `adapters.store.migrations` makes them.

    Nothing is connected yet: a database that is down now is used as soon as it is up.

    Args:
        url: `postgres://…` or `sqlite://<path>`.
        committed: called after each commit with the ids of the runs that it touched.
        failpoints: the armed ones of this process.
        pooled: a pooler in transaction mode stands before PostgreSQL.
        pool_size: connections to PostgreSQL, besides one for upkeep.
        clock: stands in for the database's clock in tests, in ms.
    """
    context = TortoiseContext()
    with context:
        await context.init(config=tortoise_config(url, pooled=pooled, pool_size=pool_size))
    clients: dict[str, Any] = {name: context.connections.get(name) for name in context.connections.db_config}
    dialect: Dialect = PostgresDialect(clients, pooled=pooled) if is_postgres(url) else SqliteDialect(clients)
    try:
        yield TortoiseStore(dialect, failpoints or Failpoints(), committed, clock)
    finally:
        await context.close_connections()
