"""Find out whether a connection pooler in transaction mode stands in front of PostgreSQL.

Such a pooler lends a session a server connection for one transaction. Prepared statements, which belong to a server
connection, then fail or, worse, run another session's statement. `skyflo doctor`, the start and the health check use
this.
"""

import asyncio
from typing import TYPE_CHECKING

from src.api.config.database import connection_parameters

if TYPE_CHECKING:
    import asyncpg

__all__ = ["POOLER_FOUND", "has_transaction_pooler"]

POOLER_FOUND = "A connection pooler in transaction mode stands in front of PostgreSQL"
TIMEOUT = 5.0
"""Seconds for the whole check."""


async def has_transaction_pooler(url: str) -> bool:
    """Return whether two sessions share server connections.

    Raises what asyncpg raises, and `TimeoutError` if the check takes longer than `TIMEOUT`.
    """
    import asyncpg

    parameters = {**connection_parameters(url), "statement_cache_size": 0}
    async with asyncio.timeout(TIMEOUT):
        first = await asyncpg.connect(**parameters)
        try:
            second = await asyncpg.connect(**parameters)
            try:
                return await _share_connections(first, second)
            finally:
                second.terminate()
        finally:
            first.terminate()


async def _share_connections(first: "asyncpg.Connection", second: "asyncpg.Connection") -> bool:
    """Compare the server processes of both sessions over several transactions.

    One session holds a transaction while the other begins and ends one, then they change roles: so the server
    connection of one falls to the other, whether the pooler lends the one that was free longest or shortest.
    """
    seen: list[set[int]] = [set(), set()]
    for holder, other in ((0, 1), (1, 0)):
        connections = (first, second)
        seen[other].add(await _server_process(connections[other]))
        async with connections[holder].transaction():
            seen[holder].add(await connections[holder].fetchval("SELECT pg_backend_pid()"))
            if seen[0] & seen[1]:
                return True
            seen[other].add(await _server_process(connections[other]))
        if seen[0] & seen[1] or max(map(len, seen)) > 1:
            return True
    return False


async def _server_process(connection: "asyncpg.Connection") -> int:
    async with connection.transaction():
        return int(await connection.fetchval("SELECT pg_backend_pid()"))
