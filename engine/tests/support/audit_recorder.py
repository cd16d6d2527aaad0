"""Record what each transaction changed and which audit entries it wrote."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import pytest

from src.api.adapters.store.audit import PendingEntry
from src.api.adapters.store.transaction import TortoiseTransaction
from src.api.schemas.query import Assign, Increment, Where
from src.api.schemas.records import Record

__all__ = ["RowChange", "TransactionChanges", "record_transactions"]


@dataclass(frozen=True)
class RowChange:
    """A row that was inserted, or whose columns were set."""

    row: Record
    columns: frozenset[str]
    is_new: bool = False


@dataclass
class TransactionChanges:
    """The changes of one transaction, captured just before its commit."""

    changes: list[RowChange] = field(default_factory=list)
    entries: list[PendingEntry] = field(default_factory=list)
    removed_tables: list[str] = field(default_factory=list)


@contextmanager
def record_transactions(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[TransactionChanges]]:
    """Record every transaction from now on. The store's behaviour does not change."""
    seen: list[TransactionChanges] = []
    under_way: dict[int, TransactionChanges] = {}
    change_all, insert = TortoiseTransaction.change_all, TortoiseTransaction.insert
    remove, finish = TortoiseTransaction.remove, TortoiseTransaction.finish

    async def changed(self: TortoiseTransaction, kind: type[Record], where: Where, /, **values: Assign) -> list[Record]:
        rows = await change_all(self, kind, where, **values)
        columns = frozenset(name for name, value in values.items() if not isinstance(value, Increment))
        under_way.setdefault(id(self), TransactionChanges()).changes += [RowChange(row, columns) for row in rows]
        return rows

    async def inserted(self: TortoiseTransaction, row: Record) -> bool:
        made = await insert(self, row)
        if made:
            columns = frozenset(each.name for each in fields(row))  # type: ignore[arg-type]
            under_way.setdefault(id(self), TransactionChanges()).changes.append(RowChange(row, columns, is_new=True))
        return made

    async def removed(self: TortoiseTransaction, kind: type[Record], where: Where) -> None:
        await remove(self, kind, where)
        if "expires_at" not in where:  # deleting expired rows is upkeep, not an action
            under_way.setdefault(id(self), TransactionChanges()).removed_tables.append(kind.table)

    async def concluded(self: TortoiseTransaction) -> None:
        moved = under_way.pop(id(self), TransactionChanges())
        moved.entries = list(self._pending_audit)
        await finish(self)
        under_way.pop(id(self), None)  # drop the audit log's own writes
        seen.append(moved)

    with monkeypatch.context() as patch:
        patch.setattr(TortoiseTransaction, "change_all", changed)
        patch.setattr(TortoiseTransaction, "insert", inserted)
        patch.setattr(TortoiseTransaction, "remove", removed)
        patch.setattr(TortoiseTransaction, "finish", concluded)
        yield seen
