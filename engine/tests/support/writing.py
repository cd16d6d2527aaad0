"""What tests of the store write again and again."""

from src.api.ports import Store, Transaction
from src.api.schemas.query import Assign, Plus, Where
from src.api.schemas.record import Record
from src.api.schemas.records import JournalEvent, Run
from tests.support.rows import row

__all__ = ["change", "insert", "journal"]


async def insert(store: Store, record: Record, *, ok: bool | None = True, upkeep: bool = False) -> bool:
    """Inserts it by a transaction of its own. `ok`: what the answer has to be, None where either will do."""
    told = await store.transaction(lambda t: t.insert(record), upkeep=upkeep)
    assert ok is None or told is ok
    return told


async def change(store: Store, kind: type[Record], where: Where, **values: Assign) -> None:
    """Changes one row by a transaction of its own."""
    assert await store.transaction(lambda t: t.change(kind, where, **values)) is not None


async def journal(t: Transaction, run_id: str) -> int:
    """Numbers and writes one journal event, as every change of a run's state does."""
    run = await t.change(Run, {"id": run_id}, journal=Plus(1))
    assert run is not None
    assert await t.insert(row(JournalEvent, run_id=run_id, n=run.journal, type="test"))
    return run.journal
