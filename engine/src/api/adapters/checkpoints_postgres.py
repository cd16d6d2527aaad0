"""Checkpoints in PostgreSQL. A module of its own, since its driver costs an embedded engine 10 MB for nothing."""

from contextlib import AsyncExitStack
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


async def open_saver(stack: AsyncExitStack, url: str) -> BaseCheckpointSaver[Any]:
    """Pooled, since a single connection would not outlive a restart of the server. Closed with the stack."""
    pool = psycopg_pool.AsyncConnectionPool(
        url,
        min_size=0,
        max_size=POOL_SIZE,
        open=False,
        timeout=OPEN_TIMEOUT,
        kwargs={"autocommit": True, "prepare_threshold": None, "row_factory": dict_row},
        check=psycopg_pool.AsyncConnectionPool.check_connection,
    )
    stack.push_async_callback(pool.close)
    await pool.open()
    saver = AsyncPostgresSaver(pool)  # type: ignore[arg-type]
    await saver.setup()
    return saver
