"""What each transaction moved and what it told the audit trail, seen as it goes by."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import pytest

from src.api.adapters.store.trail import Note
from src.api.adapters.store.transaction import TortoiseTransaction
from src.api.schemas.query import Assign, Plus, Where
from src.api.schemas.record import Record

__all__ = ["Move", "Moved", "watching"]


@dataclass(frozen=True)
class Move:
    """A row that was made or of which columns were set."""

    row: Record
    set: frozenset[str]
    made: bool = False


@dataclass
class Moved:
    """One transaction, as it was about to be committed."""

    moves: list[Move] = field(default_factory=list)
    told: list[Note] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


@contextmanager
def watching(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Moved]]:
    """Everything that is done is done as ever."""
    seen: list[Moved] = []
    under_way: dict[int, Moved] = {}
    change_all, insert = TortoiseTransaction.change_all, TortoiseTransaction.insert
    remove, conclude = TortoiseTransaction.remove, TortoiseTransaction.conclude

    async def changed(self: TortoiseTransaction, kind: type[Record], where: Where, /, **values: Assign) -> list[Record]:
        rows = await change_all(self, kind, where, **values)
        columns = frozenset(name for name, value in values.items() if not isinstance(value, Plus))
        under_way.setdefault(id(self), Moved()).moves += [Move(row, columns) for row in rows]
        return rows

    async def inserted(self: TortoiseTransaction, row: Record) -> bool:
        made = await insert(self, row)
        if made:
            columns = frozenset(each.name for each in fields(row))  # type: ignore[arg-type]
            under_way.setdefault(id(self), Moved()).moves.append(Move(row, columns, made=True))
        return made

    async def removed(self: TortoiseTransaction, kind: type[Record], where: Where) -> None:
        await remove(self, kind, where)
        if "expires_at" not in where:  # what is over is forgotten when it comes in handy
            under_way.setdefault(id(self), Moved()).removed.append(kind.table)

    async def concluded(self: TortoiseTransaction) -> None:
        moved = under_way.pop(id(self), Moved())
        moved.told = list(self._notes)
        await conclude(self)
        under_way.pop(id(self), None)  # of the trail itself
        seen.append(moved)

    with monkeypatch.context() as patch:
        patch.setattr(TortoiseTransaction, "change_all", changed)
        patch.setattr(TortoiseTransaction, "insert", inserted)
        patch.setattr(TortoiseTransaction, "remove", removed)
        patch.setattr(TortoiseTransaction, "conclude", concluded)
        yield seen
