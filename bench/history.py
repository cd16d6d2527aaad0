"""A database that has been used: 10,000 conversations of the local admin, one of them with 1,000 segments."""

import asyncio
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import psycopg

from src.api.adapters.store.migrations import migrate
from src.api.schemas.record import Record
from src.api.schemas.records import Call, Conversation, Message, Run, SearchText
from tests.support.rows import row

__all__ = ["CONVERSATIONS", "LONG", "RARE", "SEGMENTS", "fill", "fill_with"]

CONVERSATIONS = 10_000
SEGMENTS = 1_000
RUNS_OF_LONG = SEGMENTS // 4
"""Each run of the long conversation says two things and calls two tools."""

LONG = "00000000-0000-7000-8000-000000000001"
RARE = "kingfisher"
"""What one conversation in a hundred speaks of."""

BEGAN = 1_700_000_000_000
TEXT = "The deployment checkout in the namespace shop has three replicas, two of which are ready. " * 3
RESULT = json.dumps(
    [{"type": "text", "text": "NAME READY STATUS RESTARTS AGE\n" + "checkout-5d9f7c 1/1 Running 0 4d\n" * 20}]
)

_CONVERSATION, _RUN, _MESSAGE, _CALL = row(Conversation), row(Run), row(Message), row(Call)


def fill(url: str) -> None:
    """Brings the database at this address up to date and puts the conversations into it."""
    fill_with(url, _rows())


def fill_with(url: str, rows: Iterable[Record]) -> None:
    """The same with any rows: those of a table have one order, in which they were written."""
    asyncio.run(migrate(url))
    tables: dict[type[Record], list[Record]] = {}
    for one in rows:
        tables.setdefault(type(one), []).append(one)
    write = _to_sqlite if url.startswith("sqlite://") else _to_postgres
    write(url, tables)


def _rows() -> Iterator[Record]:
    for number in range(CONVERSATIONS):
        at = BEGAN + number * 1_000
        word = RARE if number % 100 == 0 else "heron"
        yield _conversation(f"c{number:06}", f"Why is web-{number} slow?", at)
        yield from _run(f"c{number:06}", number, at, f"Tell me about the {word} {number}.", calls=0)
    yield _conversation(LONG, "A long night", BEGAN + CONVERSATIONS * 1_000)
    for number in range(RUNS_OF_LONG):
        yield from _run(LONG, CONVERSATIONS + number, BEGAN + number * 1_000, f"And then? {number}", calls=2)


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
    """A question, what the model said to it in one or two turns, and the calls of the first."""
    run = f"r{number:06}"
    here: dict[str, Any] = {"conversation_id": conversation, "run_id": f"r{number:06}", "created_at": at}
    usage = json.dumps({"model": "scripted", "prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980})
    ended: dict[str, Any] = {
        "created_at": at,
        "touched_at": at,
        "ended_at": at + 900,
        "state": "completed",
        "trigger": "chat",
    }
    yield replace(_RUN, id=run, conversation_id=conversation, user_id="local", usage=usage, **ended)
    said = [("user", 0, question), *(("assistant", turn, TEXT) for turn in range(1, 2 + (calls > 0)))]
    for role, turn, content in said:
        yield replace(_MESSAGE, id=f"{run}m{turn}", turn=turn, role=role, content=content, usage="{}", **here)
        yield SearchText(f"{run}m{turn}", conversation, run, content.casefold())
    for position in range(calls):
        what: dict[str, Any] = {
            "tool": "k8s_get",
            "title": "Get",
            "kind": "read",
            "server": "skyflo",
            "args": "{}",
            "status": "completed",
        }
        shown: dict[str, Any] = {"shown": '{"kind":"pods","namespace":"shop"}', "result": RESULT, "ended_at": at + 500}
        yield replace(_CALL, id=f"{run}c{position}", turn=1, position=position, **here, **what, **shown)


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    values: list[tuple[Any, ...]]


def _tables(tables: dict[type[Record], list[Record]]) -> Iterator[_Table]:
    for kind, records in tables.items():
        names = tuple(each.name for each in fields(kind))  # type: ignore[arg-type]
        yield _Table(kind.table, names, [tuple(getattr(one, name) for name in names) for one in records])


def _to_sqlite(url: str, tables: dict[type[Record], list[Record]]) -> None:
    with sqlite3.connect(Path(url.removeprefix("sqlite://"))) as connection:
        for table in _tables(tables):
            marks = ",".join("?" * len(table.columns))
            statement = (
                f"INSERT INTO {table.name} ({_quoted(table.columns)}) VALUES ({marks})"  # noqa: S608 - our names
            )
            connection.executemany(statement, table.values)
        connection.execute("ANALYZE")
    connection.close()


def _to_postgres(url: str, tables: dict[type[Record], list[Record]]) -> None:
    with psycopg.connect(url) as connection:
        for table in _tables(tables):
            with connection.cursor().copy(f"COPY {table.name} ({_quoted(table.columns)}) FROM STDIN") as copy:
                for values in table.values:
                    copy.write_row(values)
        connection.commit()
        connection.autocommit = True
        connection.execute("ANALYZE")


def _quoted(names: Sequence[str]) -> str:
    return ",".join(f'"{name}"' for name in names)
