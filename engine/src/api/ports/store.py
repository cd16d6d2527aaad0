"""Database access: transactions of single-row compare-and-sets and bounded reads."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from src.api.schemas.audit import Actor
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Aggregate, Assign, Grouping, Where
from src.api.schemas.records import AggregateRow, Record, Tail

__all__ = ["Reader", "Store", "Transaction"]

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Reader(Protocol):
    async def get(self, kind: type[R], **key: str | int) -> R | None: ...

    async def find(self, kind: type[R], where: Where, order: str = "", limit: int = 1000, skip: int = 0) -> list[R]:
        """Return at most `limit` rows after the first `skip`, ordered by `order`'s columns (`-`: descending)."""

    async def distinct(self, kind: type[Record], column: str, where: Where) -> list[str]:
        """Return the distinct texts of one column in the matching rows, 1,000 at most."""

    async def aggregate(
        self, kind: type[Record], by: Sequence[Grouping], where: Where, sums: Sequence[Aggregate] = ()
    ) -> list[AggregateRow]:
        """Count the matching rows by group and aggregate their columns; at most the 50,000 largest groups."""

    async def tail(self, run_id: str, after: int, limit: int = 500) -> Tail | None:
        """Return the run's state and its journal events above `after`, from one snapshot."""


class Transaction(Reader, Protocol):
    """One transaction, for SQL only: a body must not wait, call out or start tasks."""

    async def now(self) -> int:
        """Return the database's time in ms, as it was when this transaction last changed a row, else as it is now.

        Read it after the first row is locked (`protocol.md` 5): that costs no statement of its own.
        """

    async def change(self, kind: type[R], where: Where, /, **values: Assign) -> R | None:
        """Compare-and-set with one UPDATE guarded by the row's own columns; return the changed row or None.

        `where` must name the whole key, so that at most one row can match.
        """

    async def change_all(self, kind: type[R], where: Where, /, **values: Assign) -> list[R]:
        """Change every matching row; return the changed rows, ordered by their keys."""

    async def insert(self, row: Record) -> bool:
        """Insert the row. Return False, without writing or raising, if a unique key is taken."""

    async def insert_all(self, rows: Sequence[Record]) -> bool:
        """Insert rows of one kind, in few statements. Return False if a unique key of any of them is taken: the others
        are written.
        """

    async def remove(self, kind: type[Record], where: Where) -> None: ...

    def audit(self, stream: str, action: str, by: Actor, body: JsonObject) -> None:
        """Add one entry to `stream` of the audit log, in this transaction.

        `body` must hold no secret and nothing that a deletion has to erase. Streams are `run:<id>`, `user:<id>` for an
        account, and for the installation `team`, `integrations` and `policy`. Raises `Unprocessable` for a body that
        JSON can't represent.
        """


class Store(Protocol):
    """The database. All writes go through `transaction`; `protocol.md` 2 and 3 describe cancellation and locks."""

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        """Run the body and commit. A cancelled caller is released only once the outcome is known.

        After a conflict with others (a deadlock, a lock held for 2 s) the body runs again, three times at most.
        `upkeep` uses a separate connection, for heartbeats and sweeps.

        Raises:
            StoreUnavailable: nothing was saved; or, with `outcome` "unknown" in `extra`, that is unknown.
            Conflict: a change would have taken another row's unique key.
            ValueError: a value that its column can't hold, or a statement without a limit or a guard.
        """

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T: ...

    async def version(self) -> int | None:
        """Return a number that changes when another connection commits (SQLite), or None if there is none."""
