"""What an error of a driver means: the same fact for both databases."""

import sqlite3

import asyncpg
from tortoise.exceptions import DBConnectionError

from src.api.errors import Conflict, EngineError, StoreUnavailable

__all__ = ["DRIVER_ERRORS", "is_lost", "is_repeatable", "meaning"]

DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    sqlite3.Error,
    DBConnectionError,
    OSError,
)
"""What the drivers raise. `TimeoutError` is an `OSError`; `InternalClientError` is what asyncpg makes of a server that
has ended the connection while nothing was asked, as it does with an owner that was frozen in a transaction."""

_REPEATABLE = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError)
_LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    OSError,
)
_UNAVAILABLE = (
    *_LOST,
    *_REPEATABLE,
    DBConnectionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.PostgresSystemError,
    asyncpg.ReadOnlySQLTransactionError,
)
_NOT_MIGRATED = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
_SQLITE_UNIQUE = {sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY}
_SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "The database file is locked by another process. Try again.",
    sqlite3.SQLITE_LOCKED: "The database file is locked. Try again.",
    sqlite3.SQLITE_CANTOPEN: "The database file can't be opened: look at its folder, and who may write there.",
    sqlite3.SQLITE_PERM: "The database file can't be written: look at who may.",
    sqlite3.SQLITE_READONLY: "The database file can't be written: look at who may.",
    sqlite3.SQLITE_FULL: "The disk of the database is full. Make room.",
    sqlite3.SQLITE_IOERR: "The disk of the database fails. Look at the system's log.",
    sqlite3.SQLITE_CORRUPT: "The database file is damaged. Restore a backup.",
    sqlite3.SQLITE_NOTADB: "The database file is not one. Restore a backup.",
}


def is_repeatable(error: BaseException) -> bool:
    """40001, 40P01, 55P03: the transaction was undone because of others and may be done again at once."""
    return isinstance(error, _REPEATABLE)


def is_lost(error: BaseException) -> bool:
    """The connection went away, so what it was last asked to do may or may not have happened."""
    return isinstance(error, _LOST) and not isinstance(error, ValueError)


def meaning(error: BaseException) -> EngineError | None:
    """The fact behind a driver's error, or None where it is a mistake of our own: that goes on as it is."""
    if isinstance(error, ValueError):
        return None
    if isinstance(error, sqlite3.Error):
        return _meaning_on_sqlite(error)
    if isinstance(error, asyncpg.UniqueViolationError):
        return _taken()
    if isinstance(error, _NOT_MIGRATED):
        return _not_migrated()
    return StoreUnavailable("The database does not answer. Try again.") if isinstance(error, _UNAVAILABLE) else None


def _meaning_on_sqlite(error: sqlite3.Error) -> EngineError | None:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    if code in _SQLITE_UNIQUE:
        return _taken()
    if sentence := _SQLITE_UNAVAILABLE.get(code & 0xFF):
        return StoreUnavailable(sentence)
    return _not_migrated() if str(error).startswith("no such") else None


def _taken() -> EngineError:
    return Conflict("Somebody else was faster: what must be unique is there already. Look again.")


def _not_migrated() -> EngineError:
    return StoreUnavailable("The database is not up to date. Run: aerich upgrade")
