"""Write rows to a store: helpers that many store tests share."""

from src.api.ports import Store, Transaction
from src.api.schemas.query import Assign, Increment, Where
from src.api.schemas.records import JournalEvent, Record, Run
from tests.support.rows import row

__all__ = ["append_journal_event", "change_row", "insert_record"]


async def insert_record(store: Store, record: Record, *, ok: bool | None = True, upkeep: bool = False) -> bool:
    """Insert a record in its own transaction and check the outcome against `ok`; None accepts either."""
    inserted = await store.transaction(lambda t: t.insert(record), upkeep=upkeep)
    assert ok is None or inserted is ok
    return inserted


async def change_row(store: Store, kind: type[Record], where: Where, **values: Assign) -> None:
    """Change one row in its own transaction."""
    assert await store.transaction(lambda t: t.change(kind, where, **values)) is not None


async def append_journal_event(t: Transaction, run_id: str) -> int:
    """Number and append one journal event, as every state change of a run does."""
    run = await t.change(Run, {"id": run_id}, journal=Increment(1))
    assert run is not None
    assert await t.insert(row(JournalEvent, run_id=run_id, n=run.journal, type="test"))
    return run.journal
