"""Fill a database with 10,000 conversations of the local admin, one of them with 1,000 segments."""

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import psycopg

from src.api.adapters.store.migrations import migrate
from src.api.schemas.records import Call, Conversation, Message, Record, Run, SearchText
from tests.support.rows import row

__all__ = ["CONVERSATIONS", "LONG", "RARE", "SEGMENTS", "fill", "insert_rows"]

CONVERSATIONS = 10_000
SEGMENTS = 1_000
RUNS_OF_LONG = SEGMENTS // 4
"""Each run of the long conversation has two model turns and two tool calls."""

LONG = "00000000-0000-7000-8000-000000000001"
RARE = "kingfisher"
"""A word in one of 100 conversations."""

FIRST_CREATED_AT = 1_700_000_000_000
TEXT = "The deployment checkout in the namespace shop has three replicas, two of which are ready. " * 3
RESULT = json.dumps(
    [{"type": "text", "text": "NAME READY STATUS RESTARTS AGE\n" + "checkout-5d9f7c 1/1 Running 0 4d\n" * 20}]
)

_CONVERSATION, _RUN, _MESSAGE, _CALL = row(Conversation), row(Run), row(Message), row(Call)


def fill(url: str) -> None:
    """Migrate the database and insert the conversations."""
    insert_rows(url, _rows())


def insert_rows(url: str, rows: Iterable[Record]) -> None:
    """Migrate the database and insert rows, table by table in the given order."""
    asyncio.run(migrate(url))
    tables: dict[type[Record], list[Record]] = {}
    for one in rows:
        tables.setdefault(type(one), []).append(one)
    write = _insert_into_sqlite if url.startswith("sqlite://") else _copy_into_postgres
    write(url, tables)


def _rows() -> Iterator[Record]:
    for number in range(CONVERSATIONS):
        at = FIRST_CREATED_AT + number * 1_000
        word = RARE if number % 100 == 0 else "heron"
        yield _conversation(f"c{number:06}", f"Why is web-{number} slow?", at)
        yield from _run(f"c{number:06}", number, at, f"Tell me about the {word} {number}.", calls=0)
    yield _conversation(LONG, "A long night", FIRST_CREATED_AT + CONVERSATIONS * 1_000)
    for number in range(RUNS_OF_LONG):
        yield from _run(LONG, CONVERSATIONS + number, FIRST_CREATED_AT + number * 1_000, f"And then? {number}", calls=2)


def _conversation(key: str, title: str, at: int) -> Conversation:
    return replace(
        _CONVERSATION,
        id=key,
        owner_id="local",
        title=title,
        is_active=True,
        metadata="{}",
        created_at=at,
        updated_at=at,
    )


def _run(conversation: str, number: int, at: int, question: str, calls: int) -> Iterator[Record]:
    """Yield a question, the model's text of one or two turns, and the calls of the first turn."""
    run = f"r{number:06}"
    common: dict[str, Any] = {"conversation_id": conversation, "run_id": f"r{number:06}", "created_at": at}
    usage = json.dumps({"model": "scripted", "prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980})
    ended: dict[str, Any] = {
        "created_at": at,
        "updated_at": at,
        "ended_at": at + 900,
        "state": "completed",
        "trigger": "chat",
    }
    yield replace(_RUN, id=run, conversation_id=conversation, user_id="local", usage=usage, **ended)
    messages = [("user", 0, question), *(("assistant", turn, TEXT) for turn in range(1, 2 + (calls > 0)))]
    for role, turn, content in messages:
        yield replace(_MESSAGE, id=f"{run}m{turn}", turn=turn, role=role, content=content, usage="{}", **common)
        yield SearchText(f"{run}m{turn}", conversation, run, content.casefold())
    for position in range(calls):
        call: dict[str, Any] = {
            "tool": "k8s_get",
            "title": "Get",
            "kind": "read",
            "server": "skyflo",
            "args": "{}",
            "status": "completed",
        }
        result: dict[str, Any] = {
            "redacted_args": '{"kind":"pods","namespace":"shop"}',
            "result": RESULT,
            "ended_at": at + 500,
        }
        yield replace(_CALL, id=f"{run}c{position}", turn=1, position=position, **common, **call, **result)


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    values: list[tuple[Any, ...]]


def _tables(tables: dict[type[Record], list[Record]]) -> Iterator[_Table]:
    for kind, records in tables.items():
        names = tuple(each.name for each in fields(kind))  # type: ignore[arg-type]
        yield _Table(kind.table, names, [tuple(getattr(one, name) for name in names) for one in records])


def _insert_into_sqlite(url: str, tables: dict[type[Record], list[Record]]) -> None:
    with sqlite3.connect(Path(url.removeprefix("sqlite://"))) as connection:
        for table in _tables(tables):
            marks = ",".join("?" * len(table.columns))
            statement = f"INSERT INTO {table.name} ({_quote_names(table.columns)}) VALUES ({marks})"  # noqa: S608 - the names are constants
            connection.executemany(statement, table.values)
        connection.execute("ANALYZE")
    connection.close()


def _copy_into_postgres(url: str, tables: dict[type[Record], list[Record]]) -> None:
    with psycopg.connect(url) as connection:
        for table in _tables(tables):
            with connection.cursor().copy(f"COPY {table.name} ({_quote_names(table.columns)}) FROM STDIN") as copy:
                for values in table.values:
                    copy.write_row(values)
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")


def _quote_names(names: Sequence[str]) -> str:
    return ",".join(f'"{name}"' for name in names)
