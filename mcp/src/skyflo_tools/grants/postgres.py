"""Store used grants in PostgreSQL, for several tool servers that share a grant key."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from skyflo_tools.errors import StoreUnavailable
from skyflo_tools.grants.store import KEY_BYTES, RETENTION_SECONDS, GrantOutcome, Settlement, StoredState, to_settlement

if TYPE_CHECKING:
    import asyncpg

_TABLE = """
CREATE TABLE IF NOT EXISTS skyflo_used_grant (
    id TEXT PRIMARY KEY,
    tool TEXT NOT NULL,
    state TEXT NOT NULL,
    result TEXT,
    began_at DOUBLE PRECISION NOT NULL,
    ended_at DOUBLE PRECISION
)
"""
_KEY_TABLE = """
CREATE TABLE IF NOT EXISTS skyflo_fingerprint_key (id INTEGER PRIMARY KEY CHECK (id = 1), key BYTEA NOT NULL)
"""
_TABLE_LOCK = 0x736B79666C6F  # advisory lock, so that two replicas may start at the same time
_TIMEOUT_SECONDS = 5.0
_TRANSACTION_SETTINGS = (
    "SET LOCAL synchronous_commit = on; SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '4s'"
)


class PostgresGrantStore:
    """Grant store in PostgreSQL. Connects on first use and after a lost connection.

    Works behind a connection pooler in transaction mode.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        async with self._transaction():
            pass

    async def aclose(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def consume(self, grant: str, tool: str, now: float) -> StoredState | None:
        async with self._transaction() as connection:
            await connection.execute("DELETE FROM skyflo_used_grant WHERE began_at < $1", now - RETENTION_SECONDS)
            inserted = await connection.fetchval(
                "INSERT INTO skyflo_used_grant (id, tool, state, began_at) VALUES ($1, $2, 'started', $3) "
                "ON CONFLICT (id) DO NOTHING RETURNING id",
                grant,
                tool,
                now,
            )
            if inserted:
                return None
            state: StoredState = await connection.fetchval("SELECT state FROM skyflo_used_grant WHERE id = $1", grant)
            return state

    async def record_outcome(self, grant: str, outcome: GrantOutcome, now: float) -> None:
        async with self._transaction() as connection:
            await connection.execute(
                "UPDATE skyflo_used_grant SET state = $1, result = $2, ended_at = $3 "
                "WHERE id = $4 AND state = 'started'",
                outcome.state,
                outcome.model_dump_json(),
                now,
                grant,
            )

    async def settle(self, grant: str, now: float) -> Settlement:
        async with self._transaction() as connection:
            await connection.execute(
                "INSERT INTO skyflo_used_grant (id, tool, state, began_at) VALUES ($1, '', 'revoked', $2) "
                "ON CONFLICT (id) DO NOTHING",
                grant,
                now,
            )
            row = await connection.fetchrow("SELECT state, result FROM skyflo_used_grant WHERE id = $1", grant)
            return to_settlement(row["state"], row["result"])

    async def fingerprint_key(self) -> bytes:
        async with self._transaction() as connection:
            new_key = secrets.token_bytes(KEY_BYTES)
            insert = "INSERT INTO skyflo_fingerprint_key (id, key) VALUES (1, $1) ON CONFLICT DO NOTHING"
            await connection.execute(insert, new_key)
            key: bytes = await connection.fetchval("SELECT key FROM skyflo_fingerprint_key")
            return key

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator["asyncpg.Connection"]:
        import asyncpg  # slow to import, and only needed where replicas share a database

        try:
            pool = await self._connect_pool()
            async with pool.acquire(timeout=_TIMEOUT_SECONDS) as connection, connection.transaction():
                await connection.execute(_TRANSACTION_SETTINGS)
                yield connection
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise StoreUnavailable(f"the grant store can't be used: {error}") from error

    async def _connect_pool(self) -> "asyncpg.Pool":
        import asyncpg

        async with self._opening:
            if self._pool is None:
                pool = await asyncpg.create_pool(
                    self._url,
                    min_size=0,
                    max_size=5,
                    timeout=_TIMEOUT_SECONDS,
                    command_timeout=_TIMEOUT_SECONDS,
                    statement_cache_size=0,
                )
                async with pool.acquire() as connection, connection.transaction():
                    await connection.execute("SELECT pg_advisory_xact_lock($1)", _TABLE_LOCK)
                    await connection.execute(_TABLE)
                    await connection.execute(_KEY_TABLE)
                self._pool = pool
            return self._pool
