"""Translate drivers' errors into the engine's errors, alike for both databases."""

import sqlite3

import asyncpg
from tortoise.exceptions import DBConnectionError

from src.api.errors import Conflict, EngineError, StoreUnavailable

__all__ = ["DRIVER_ERRORS", "is_connection_loss", "is_retryable", "translate_error"]

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlite3.Error,
    DBConnectionError,
    OSError,
)
"""What the drivers raise. `TimeoutError` is an `OSError`. asyncpg raises `InternalClientError` when the server has
closed an idle connection, as happens to an owner that was frozen inside a transaction.
"""

_RETRYABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
_CONNECTION_LOSS = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    OSError,
)
_UNAVAILABLE = (
    *_CONNECTION_LOSS,
    *_RETRYABLE,
    DBConnectionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
)
_POOLER_IN_BETWEEN = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_NOT_MIGRATED = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
_SQLITE_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "The database file is locked by another process. Try again.",
    sqlite3.SQLITE_LOCKED: "The database file is locked. Try again.",
    sqlite3.SQLITE_CANTOPEN: "The database file can't be opened: check that its folder exists and is writable.",
    sqlite3.SQLITE_PERM: "The database file can't be written: check its permissions.",
    sqlite3.SQLITE_READONLY: "The database file can't be written: check its permissions.",
    sqlite3.SQLITE_FULL: "The database's disk is full. Free some space.",
    sqlite3.SQLITE_IOERR: "The database's disk fails. Check the system log.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged. Restore a backup.",
    sqlite3.SQLITE_NOTADB: "The database file is not a database. Restore a backup.",
}


def is_retryable(error: BaseException) -> bool:
    """Whether the transaction was rolled back because of others (40001, 40P01, 55P03) and may run again at once."""
    return isinstance(error, _RETRYABLE)


def is_connection_loss(error: BaseException) -> bool:
    """Whether the connection was lost, so that the last statement may or may not have taken effect."""
    return isinstance(error, _CONNECTION_LOSS) and not isinstance(error, ValueError)


def translate_error(error: BaseException) -> EngineError | None:
    """Translate a driver's error; None for a programming error, which is raised as it is."""
    if isinstance(error, ValueError):
        return None
    if isinstance(error, sqlite3.Error):
        return _translate_sqlite(error)
    if isinstance(error, asyncpg.UniqueViolationError):
        return _unique_conflict()
    if isinstance(error, _NOT_MIGRATED):
        return _not_migrated()
    if isinstance(error, _POOLER_IN_BETWEEN):
        return StoreUnavailable(
            "A connection pooler mixes up the statements of several connections. Set DB_POOLER=transaction, then start "
            "the engine again."
        )
    return StoreUnavailable("The database does not answer. Try again.") if isinstance(error, _UNAVAILABLE) else None


def _translate_sqlite(error: sqlite3.Error) -> EngineError | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _SQLITE_UNIQUE:
        return _unique_conflict()
    if sentence := _SQLITE_UNAVAILABLE.get(code & 0xFF):
        return StoreUnavailable(sentence)
    return _not_migrated() if str(error).startswith("no such") else None


def _unique_conflict() -> EngineError:
    return Conflict("Someone else was faster: a unique value is taken. Reload, then try again.")


def _not_migrated() -> EngineError:
    return StoreUnavailable("The database is not up to date. Run: aerich upgrade")
