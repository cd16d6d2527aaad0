"""Used grants in a SQLite file: for one tool server with a data folder."""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from skyflo_tools.errors import StoreUnavailable
from skyflo_tools.grants.store import KEEP_SECONDS, KEY_BYTES, Ending, Settlement, StoredState, settlement

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


class SqliteGrants:
    """One connection in one thread of its own; each step is one IMMEDIATE transaction, synced to the disk."""

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

    async def begin(self, grant: str, tool: str, now: float) -> StoredState | None:
        def step(connection: sqlite3.Connection) -> StoredState | None:
            connection.execute("DELETE FROM used_grant WHERE began_at < ?", (now - KEEP_SECONDS,))
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

    async def end(self, grant: str, ending: Ending, now: float) -> None:
        def step(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE used_grant SET state = ?, result = ?, ended_at = ? WHERE id = ? AND state = 'started'",
                (ending.state, ending.model_dump_json(), now, grant),
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
            return settlement(row[0], row[1])

        return await self._run(step)

    async def fingerprint_key(self) -> bytes:
        def step(connection: sqlite3.Connection) -> bytes:
            made = secrets.token_bytes(KEY_BYTES)
            connection.execute("INSERT INTO fingerprint_key (id, key) VALUES (1, ?) ON CONFLICT DO NOTHING", (made,))
            return bytes(connection.execute("SELECT key FROM fingerprint_key").fetchone()[0])

        return await self._run(step)

    async def _run(self, step: Callable[[sqlite3.Connection], T]) -> T:
        def transaction() -> T:
            connection = self._connected()
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
            raise StoreUnavailable(f"the store of used grants can't be used: {error}") from error

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._file, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            _use_wal(connection)
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(_TABLE)
            connection.execute(_KEY_TABLE)
            self._connection = connection
        return self._connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """The switch to WAL asks no busy handler: servers that open a new file at once must take turns by themselves."""
    give_up = time.monotonic() + _BUSY_SECONDS
    while not _switched(connection, last=time.monotonic() > give_up):
        time.sleep(_RETRY_SECONDS)


def _switched(connection: sqlite3.Connection, *, last: bool) -> bool:
    try:
        connection.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError as error:
        if last or error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
