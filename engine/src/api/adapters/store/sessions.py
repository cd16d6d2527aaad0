"""One connection inside one transaction, for each dialect: begin, statements, commit, rollback."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

import aiosqlite
import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.backends.sqlite.client import SqliteClient

from src.api.adapters.store.faults import DRIVER_ERRORS, is_lost
from src.api.errors import StoreUnavailable
from src.api.schemas.query import Scalar

__all__ = ["Dialect", "PostgresDialect", "Session", "SqliteDialect"]

TURN_WITHIN_SECONDS = 15
_BEGIN = (
    "BEGIN; SELECT set_config('lock_timeout', '2s', true), set_config('statement_timeout', '10s', true), "
    "set_config('idle_in_transaction_session_timeout', '5s', true), set_config('synchronous_commit', 'on', true)"
)
_UNKNOWN = "The database went away while it was saving. Whether it did is not known: look before you repeat it."


class Session(Protocol):
    """Statements on one connection. Rows come as sequences in the order of the columns asked for."""

    async def fetch(self, text: str, values: Sequence[Scalar]) -> Sequence[Sequence[Any]]: ...

    async def commit(self) -> None:
        """Raises `StoreUnavailable`, with `outcome` "unknown", when the connection was lost over it."""


class Dialect(Protocol):
    """What differs between the databases, and all of it."""

    numbered: bool
    now: str | None
    """The statement that reads the database's clock; None where that is this process's own."""
    versioned: bool

    def transaction(self, upkeep: bool) -> AbstractAsyncContextManager[Session]:
        """An open transaction. What is not committed when the block ends is rolled back, whatever ended it."""

    def reading(self) -> AbstractAsyncContextManager[Session]: ...


class _PostgresSession:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fetch(self, text: str, values: Sequence[Scalar]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = await self._connection.fetch(text, *values)
        return rows

    async def commit(self) -> None:
        try:
            answer = await self._connection.execute("COMMIT")
        except DRIVER_ERRORS as error:
            if is_lost(error):
                raise StoreUnavailable(_UNKNOWN, outcome="unknown") from error
            raise
        if answer != "COMMIT":
            raise RuntimeError("a statement of this transaction had failed, so nothing of it was saved")


class PostgresDialect:
    """PostgreSQL by Tortoise's pools. Nothing outlives COMMIT on a connection, so that any pooler will do."""

    numbered = True
    now: str | None = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    versioned = False

    def __init__(self, clients: dict[str, AsyncpgDBClient], *, pooled: bool) -> None:
        self._clients = clients
        self._pooled = pooled

    @asynccontextmanager
    async def transaction(self, upkeep: bool) -> AsyncIterator[Session]:
        async with self._connection("upkeep" if upkeep else "default") as connection:
            try:
                await connection.execute(_BEGIN)
                yield _PostgresSession(connection)
            finally:
                await _end(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        """Outside a transaction: each statement sees its own moment. Behind a pooler inside one all the same."""
        if self._pooled:
            async with self.transaction(upkeep=False) as session:
                yield session
            return
        async with self._connection("default") as connection:
            yield _PostgresSession(connection)

    @asynccontextmanager
    async def _connection(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        wrapper = self._clients[name].acquire_connection()
        async with asyncio.timeout(TURN_WITHIN_SECONDS):
            connection = await wrapper.__aenter__()
        try:
            yield connection
        finally:
            await wrapper.__aexit__(None, None, None)


async def _end(connection: asyncpg.Connection) -> None:
    """Rolls back what is still open. What a lost connection had open the server undoes by itself."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except DRIVER_ERRORS:
        with suppress(asyncpg.InterfaceError):  # it is closed already
            connection.terminate()


class _SqliteSession:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self.over = False

    async def fetch(self, text: str, values: Sequence[Scalar]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = list(await self._connection.execute_fetchall(text, values))
        return rows

    async def commit(self) -> None:
        await self._connection.commit()
        self.over = True


class SqliteDialect:
    """SQLite, three connections to one file: a writer, a reader, one for upkeep. BEGIN takes the write lock at once.

    The two that write take turns here, in order: SQLite's own waiting is by chance, and a heartbeat could lose it.
    """

    numbered = False
    now: str | None = None
    versioned = True

    def __init__(self, clients: dict[str, SqliteClient]) -> None:
        self._clients = clients
        self._writing, self._reading = asyncio.Lock(), asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, upkeep: bool) -> AsyncIterator[Session]:
        client = self._clients["upkeep" if upkeep else "default"]
        async with _turn(self._writing), _open(client) as connection:
            session = _SqliteSession(connection)
            try:
                await session.fetch("BEGIN IMMEDIATE", ())
                yield session
            finally:
                if not session.over:
                    await _undo(client, connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        async with _turn(self._reading), _open(self._clients["reader"]) as connection:
            yield _SqliteSession(connection)


@asynccontextmanager
async def _turn(lock: asyncio.Lock) -> AsyncIterator[None]:
    async with asyncio.timeout(TURN_WITHIN_SECONDS):
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def _open(client: SqliteClient) -> AsyncIterator[aiosqlite.Connection]:
    """The client's connection, for the one who has the turn.

    Tortoise keeps its own lock, and a connection with half its settings, when opening the file fails.
    """
    wrapper = client.acquire_connection()
    try:
        connection = await wrapper.__aenter__()
    except BaseException:
        await wrapper.__aexit__(None, None, None)
        await client.close()
        raise
    try:
        yield connection
    finally:
        await wrapper.__aexit__(None, None, None)


async def _undo(client: SqliteClient, connection: aiosqlite.Connection) -> None:
    """Rolls back what is still open. A connection that can't is closed: then SQLite does it."""
    try:
        await connection.rollback()
    except DRIVER_ERRORS:
        await client.close()
