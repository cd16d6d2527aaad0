"""Checkpoints in PostgreSQL. A module of its own, since its driver costs an embedded engine 10 MB for nothing."""

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
"""What the saver raises when the database is away."""

SETUP_TIMEOUT = 30.0
_POLL = 0.05
_TRY = f"SELECT pg_try_advisory_xact_lock({0x736B79636B7074}) AS free"

Pool = psycopg_pool.AsyncConnectionPool[psycopg.AsyncConnection[dict[str, Any]]]


async def open_saver(stack: AsyncExitStack, url: str) -> BaseCheckpointSaver[Any]:
    """Pooled, since a single connection would not outlive a restart of the server. Closed with the stack."""
    pool = _pool(url)
    stack.push_async_callback(pool.close)
    await pool.open()
    saver = AsyncPostgresSaver(pool)
    async with asyncio.timeout(SETUP_TIMEOUT), _alone(pool):
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
async def _alone(pool: Pool) -> AsyncIterator[None]:
    """Engines that start at once take turns, for the library's setup fails where two make the same table.

    The lock is tried, never waited for: `CREATE INDEX CONCURRENTLY` waits for every query that waits, this one too. It
    is a transaction's, which a pooler in transaction mode bears.
    """
    while True:
        async with pool.connection() as connection, connection.transaction():
            found = await (await connection.execute(_TRY)).fetchone()
            if found is not None and found["free"]:
                yield
                return
        await asyncio.sleep(_POLL)
