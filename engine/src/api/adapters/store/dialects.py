"""Run statements inside a transaction on PostgreSQL and SQLite: begin, fetch, commit, rollback."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol

import aiosqlite
import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient
from tortoise.backends.sqlite.client import SqliteClient

from src.api.adapters.store.errors import DRIVER_ERRORS, is_connection_loss
from src.api.errors import StoreUnavailable
from src.api.schemas.query import Scalar

__all__ = ["Dialect", "PostgresDialect", "Session", "SqliteDialect"]

ACQUIRE_SECONDS = 15
_BEGIN = (
    "BEGIN; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '10s'; "
    "SET LOCAL idle_in_transaction_session_timeout = '5s'; SET LOCAL synchronous_commit = 'on'"
)
"""One message and no row: `SELECT set_config(…)` takes the server 17 µs longer, and the client 6."""
_UNKNOWN_COMMIT = (
    "The connection to the database broke during the commit. It is unknown whether the change was saved: check before "
    "you repeat it."
)


class Session(Protocol):
    """Statements on one connection. A row is a sequence in the order of the selected columns."""

    async def fetch(self, text: str, values: Sequence[Scalar]) -> Sequence[Sequence[Any]]: ...

    async def commit(self) -> None:
        """Commit. Raises `StoreUnavailable`, with `outcome` "unknown", if the connection is lost meanwhile."""


class Dialect(Protocol):
    """Everything that differs between the two databases."""

    numbered: bool
    clock: str | None
    """The expression of the database's clock, in ms; None if this process's clock is used."""
    versioned: bool
    has_migrations: str
    """A query for whether the database has Tortoise's record of migrations: one row, or none."""

    def transaction(self, upkeep: bool) -> AbstractAsyncContextManager[Session]:
        """Open a transaction. Leaving the block without a commit rolls it back."""

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
            if is_connection_loss(error):
                raise StoreUnavailable(_UNKNOWN_COMMIT, outcome="unknown") from error
            raise
        if answer != "COMMIT":
            raise RuntimeError("a statement of this transaction failed, so nothing was saved")


class PostgresDialect:
    """PostgreSQL over Tortoise's pools. No session state outlives a COMMIT, so any pooler works."""

    numbered = True
    clock: str | None = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    versioned = False
    has_migrations = (
        "SELECT 1 FROM pg_tables WHERE tablename = 'tortoise_migrations' AND schemaname = ANY(current_schemas(false))"
    )

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
                await _rollback_if_open(connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        """Read outside a transaction, so that each statement has its own snapshot; behind a pooler, inside one."""
        if self._pooled:
            async with self.transaction(upkeep=False) as session:
                yield session
            return
        async with self._connection("default") as connection:
            yield _PostgresSession(connection)

    @asynccontextmanager
    async def _connection(self, name: str) -> AsyncIterator[asyncpg.Connection]:
        wrapper = self._clients[name].acquire_connection()
        async with asyncio.timeout(ACQUIRE_SECONDS):
            connection = await wrapper.__aenter__()
        try:
            yield connection
        finally:
            await wrapper.__aexit__(None, None, None)


async def _rollback_if_open(connection: asyncpg.Connection) -> None:
    """Roll back an open transaction. The server does that for a lost connection."""
    try:
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK")
    except DRIVER_ERRORS:
        with suppress(asyncpg.InterfaceError):  # the connection is closed already
            connection.terminate()


class _SqliteSession:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self.is_committed = False

    async def fetch(self, text: str, values: Sequence[Scalar]) -> Sequence[Sequence[Any]]:
        rows: Sequence[Sequence[Any]] = list(await self._connection.execute_fetchall(text, values))
        return rows

    async def commit(self) -> None:
        await self._connection.commit()
        self.is_committed = True


class SqliteDialect:
    """SQLite with three connections to one file: writer, reader, upkeep. BEGIN takes the write lock at once.

    The two that write are queued here in order: SQLite's busy handler is unfair, and a heartbeat could time out.
    """

    numbered = False
    clock: str | None = None
    versioned = True
    has_migrations = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'tortoise_migrations'"

    def __init__(self, clients: dict[str, SqliteClient]) -> None:
        self._clients = clients
        self._writing, self._reading = asyncio.Lock(), asyncio.Lock()

    @asynccontextmanager
    async def transaction(self, upkeep: bool) -> AsyncIterator[Session]:
        client = self._clients["upkeep" if upkeep else "default"]
        async with _acquire(self._writing), _open_connection(client) as connection:
            session = _SqliteSession(connection)
            try:
                await session.fetch("BEGIN IMMEDIATE", ())
                yield session
            finally:
                if not session.is_committed:
                    await _rollback_or_close(client, connection)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Session]:
        async with _acquire(self._reading), _open_connection(self._clients["reader"]) as connection:
            yield _SqliteSession(connection)


@asynccontextmanager
async def _acquire(lock: asyncio.Lock) -> AsyncIterator[None]:
    async with asyncio.timeout(ACQUIRE_SECONDS):
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def _open_connection(client: SqliteClient) -> AsyncIterator[aiosqlite.Connection]:
    """Use the client's connection; the caller holds its lock.

    When opening the file fails, Tortoise keeps its own lock and a half-configured connection, so both are reset here.
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


async def _rollback_or_close(client: SqliteClient, connection: aiosqlite.Connection) -> None:
    """Roll back, or close the connection if that fails: then SQLite rolls back."""
    try:
        await connection.rollback()
    except DRIVER_ERRORS:
        await client.close()
