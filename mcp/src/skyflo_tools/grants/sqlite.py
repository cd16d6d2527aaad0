"""Store used grants in a SQLite file, for a single tool server."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from skyflo_tools.errors import StoreUnavailable
from skyflo_tools.grants.store import KEY_BYTES, RETENTION_SECONDS, GrantOutcome, Settlement, StoredState, to_settlement

_TABLE = """
CREATE TABLE IF NOT EXISTS used_grant (
    id TEXT PRIMARY KEY,
    tool TEXT NOT NULL,
    state TEXT NOT NULL,
    result TEXT,
    began_at REAL NOT NULL,
    ended_at REAL
)
"""
_KEY_TABLE = "CREATE TABLE IF NOT EXISTS fingerprint_key (id INTEGER PRIMARY KEY CHECK (id = 1), key BLOB NOT NULL)"
_BUSY_SECONDS = 5.0
_RETRY_SECONDS = 0.005
T = TypeVar("T")


class SqliteGrantStore:
    """Grant store in a SQLite file: one connection in one thread.

    Each method is one IMMEDIATE transaction, synced to disk.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="grants")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> None:
        await self._run(lambda _: None)

    async def aclose(self) -> None:
        if self._connection is not None:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._connection.close)
        self._thread.shutdown()

    async def consume(self, grant: str, tool: str, now: float) -> StoredState | None:
        def step(connection: sqlite3.Connection) -> StoredState | None:
            connection.execute("DELETE FROM used_grant WHERE began_at < ?", (now - RETENTION_SECONDS,))
            inserted = connection.execute(
                "INSERT INTO used_grant (id, tool, state, began_at) VALUES (?, ?, 'started', ?) "
                "ON CONFLICT (id) DO NOTHING RETURNING id",
                (grant, tool, now),
            ).fetchone()
            if inserted:
                return None
            row = connection.execute("SELECT state FROM used_grant WHERE id = ?", (grant,)).fetchone()
            state: StoredState = row[0]
            return state

        return await self._run(step)

    async def record_outcome(self, grant: str, outcome: GrantOutcome, now: float) -> None:
        def step(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE used_grant SET state = ?, result = ?, ended_at = ? WHERE id = ? AND state = 'started'",
                (outcome.state, outcome.model_dump_json(), now, grant),
            )

        await self._run(step)

    async def settle(self, grant: str, now: float) -> Settlement:
        def step(connection: sqlite3.Connection) -> Settlement:
            connection.execute(
                "INSERT INTO used_grant (id, tool, state, began_at) VALUES (?, '', 'revoked', ?) "
                "ON CONFLICT (id) DO NOTHING",
                (grant, now),
            )
            row = connection.execute("SELECT state, result FROM used_grant WHERE id = ?", (grant,)).fetchone()
            return to_settlement(row[0], row[1])

        return await self._run(step)

    async def fingerprint_key(self) -> bytes:
        def step(connection: sqlite3.Connection) -> bytes:
            new_key = secrets.token_bytes(KEY_BYTES)
            connection.execute("INSERT INTO fingerprint_key (id, key) VALUES (1, ?) ON CONFLICT DO NOTHING", (new_key,))
            return bytes(connection.execute("SELECT key FROM fingerprint_key").fetchone()[0])

        return await self._run(step)

    async def _run(self, step: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            connection = self._connect()
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = step(connection)
                connection.execute("COMMIT")
                return result
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, transaction)
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the grant store can't be used: {error}") from error

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                _enable_wal(connection)
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute(_TABLE)
                connection.execute(_KEY_TABLE)
            except sqlite3.Error:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _enable_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; retry while another server does the same.

    SQLite does not call its busy handler for this pragma, so servers that open a new file at once would fail.
    """
    give_up = time.monotonic() + _BUSY_SECONDS
    while not _try_enable_wal(connection, last=time.monotonic() > give_up):
        time.sleep(_RETRY_SECONDS)


def _try_enable_wal(connection: sqlite3.Connection, *, last: bool) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
