"""Store checkpoints in PostgreSQL. A separate module, because its driver would cost an embedded engine 10 MB."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import psycopg
import psycopg_pool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row

__all__ = ["ERRORS", "open_saver"]

POOL_SIZE = 4
OPEN_TIMEOUT = 5.0
ERRORS = (psycopg.Error, psycopg_pool.PoolTimeout)
"""What the saver raises when the database is down."""

SETUP_TIMEOUT = 30.0
_POLL_SECONDS = 0.05
_TRY_LOCK = f"SELECT pg_try_advisory_xact_lock({0x736B79636B7074}) AS free"

Pool = psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[dict[str, Any]]]


async def open_saver(stack: AsyncExitStack, url: str) -> BaseCheckpointSaver[Any]:
    """Open a saver on a connection pool, which survives a restart of the server. The stack closes it."""
    pool = _pool(url)
    stack.push_async_callback(pool.close)
    await pool.open()
    saver = AsyncPostgresSaver(pool)
    async with asyncio.timeout(SETUP_TIMEOUT), _setup_lock(pool):
        await saver.setup()
    return saver


def _pool(url: str) -> Pool:
    return psycopg_pool.AsyncConnectionPool(
        url,
        min_size=0,
        max_size=POOL_SIZE,
        open=False,
        timeout=OPEN_TIMEOUT,
        kwargs={"autocommit": True, "prepare_threshold": None, "row_factory": dict_row},
        check=psycopg_pool.AsyncConnectionPool.check_connection,
    )


@asynccontextmanager
async def _setup_lock(pool: Pool) -> AsyncIterator[None]:
    """Let one engine at a time set up the tables: the library's setup fails when two create the same table.

    The lock is polled, because `CREATE INDEX CONCURRENTLY` waits for every waiting query, including one that waits for
    this lock. It belongs to a transaction, which works behind a pooler in transaction mode.
    """
    while True:
        async with pool.connection() as connection, connection.transaction():
            found = await (await connection.execute(_TRY_LOCK)).fetchone()
            if found is not None and found["free"]:
                yield
                return
        await asyncio.sleep(_POLL_SECONDS)
