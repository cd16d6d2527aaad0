"""Write a long conversation of the local admin: `python -m tests.support.long_conversation DATABASE RUNS TURNS`.

Each run has a message, and in each turn a text and a read. Prints the id of the conversation.
"""

import asyncio
import sys
from collections.abc import Iterator
from functools import partial
from uuid import uuid4

from src.api.adapters.store.store import open_store
from src.api.ports import Transaction
from src.api.schemas.records import Call, Conversation, Message, Run
from src.api.utils.canonical import canonical
from tests.support.history_rows import make_call, make_message, make_run
from tests.support.rows import row

__all__ = ["main"]

_TEXT = (
    "The pods of **cart** restart because `{name}` is not set.\n\n- It is read at the start\n- See `kubectl describe`\n"
)
_LOG = "".join(f"2026-01-01T00:00:{second:02} INFO request served\n" for second in range(40))
_RUNS_PER_TRANSACTION = 20


async def main(database: str, runs: int, turns: int) -> str:
    """Insert the conversation and return its id."""
    conversation_id = str(uuid4())
    async with open_store(f"sqlite://{database}") as store:
        await store.transaction(lambda tx: _insert_conversation(tx, conversation_id, runs))
        for first in range(0, runs, _RUNS_PER_TRANSACTION):
            numbers = range(first, min(runs, first + _RUNS_PER_TRANSACTION))
            records = [each for number in numbers for each in _records(conversation_id, number, turns)]
            await store.transaction(partial(_insert, records))
    return conversation_id


async def _insert_conversation(tx: Transaction, conversation_id: str, runs: int) -> None:
    own = {"owner_id": "local", "title": "A long conversation", "is_active": True, "metadata": "{}"}
    await tx.insert(row(Conversation, id=conversation_id, **own, created_at=1, updated_at=runs))


async def _insert(records: list[Run | Message | Call], tx: Transaction) -> None:
    for record in records:
        await tx.insert(record)


def _records(conversation_id: str, number: int, turns: int) -> Iterator[Run | Message | Call]:
    at = 1_000_000 + number * 1_000
    run = make_run(conversation_id, "local", created_at=at, updated_at=at, ended_at=at)
    yield run
    yield make_message(run, 0, "user", f"Question {number}: why do the pods restart?", at=at)
    for turn in range(1, turns + 1):
        yield make_message(run, turn, "assistant", _TEXT.format(name=f"VARIABLE_{number}_{turn}"), at=at + turn)
        result = canonical([{"type": "text", "text": f"{_LOG}end of log {number}-{turn}\n"}])
        what = {"tool": "k8s_logs", "title": "Read logs", "status": "completed", "result": result}
        yield make_call(run, turn, 0, at=at + turn, ended_at=at + turn, kind="read", **what)


if __name__ == "__main__":
    sys.stdout.write(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
