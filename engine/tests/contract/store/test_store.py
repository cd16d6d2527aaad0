"""The contract of the store, on SQLite and PostgreSQL."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence

import pytest

from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import Conflict
from src.api.ports import Reader, RunChanged, Transaction
from src.api.schemas.query import Increment, KeysetRange, Now, gt, is_not_null, lt, ne
from src.api.schemas.records import RECORDS, Approval, Conversation, JournalEvent, Message, Record, Run, User
from tests.support.rows import row
from tests.support.store_writes import append_journal_event, insert_record

ON_SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For tests that run no SQL of their own."""


@pytest.mark.parametrize("kind", RECORDS)
async def test_row_is_read_as_written(store: TortoiseStore, kind: type[Record]) -> None:
    empty = row(kind)
    await insert_record(store, empty)

    assert await store.read(lambda reader: reader.find(kind, {})) == [empty]


async def test_texts_and_numbers_are_exact(store: TortoiseStore) -> None:
    text = '{"x":1e16,"y":5.0,"z":"é\u2028🙂\\u0000"}' + "ä" * 100_000
    full = row(Run, id="r", conversation_id="c", usage=text, journal=2**63 - 1, fence=-(2**63), turn=2**31 - 1)
    await insert_record(store, full)

    assert await store.read(lambda reader: reader.get(Run, id="r")) == full


async def test_insert_reports_whether_key_was_free(store: TortoiseStore) -> None:
    first = row(User, id="u1", email="a@example.org")

    assert await store.transaction(lambda t: t.insert(first)) is True
    assert await store.transaction(lambda t: t.insert(first)) is False
    assert await store.transaction(lambda t: t.insert(row(User, id="u2", email="a@example.org"))) is False
    assert await store.read(lambda reader: reader.find(User, {})) == [first]


async def test_concurrent_inserts_of_one_key_insert_one(store: TortoiseStore) -> None:
    for n in range(30):
        inserted = await asyncio.gather(
            *(insert_record(store, row(JournalEvent, run_id="r", n=n), ok=None) for _ in range(4))
        )
        assert sorted(inserted) == [False, False, False, True]


async def test_change_returns_updated_row(store: TortoiseStore) -> None:
    await insert_record(store, row(Run, id="r", conversation_id="c", state="queued", fence=4))

    async def claim(t: Transaction) -> Run | None:
        return await t.change(Run, {"id": "r", "state": "queued"}, state="running", fence=Increment(1), owner="w")

    claimed = await store.transaction(claim)
    assert claimed == row(Run, id="r", conversation_id="c", state="running", fence=5, owner="w")
    assert await store.transaction(claim) is None


@ON_SQLITE
@pytest.mark.parametrize("where", [{"state": "queued"}, {"id": ("r",)}, {"id": ne("x")}, {"id": None}])
async def test_change_without_full_key_is_refused(store: TortoiseStore, where: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must name its key: id is missing"):
        await store.transaction(lambda t: t.change(Run, where, state="x"))
    with pytest.raises(ValueError, match="must name its key: n is missing"):
        await store.transaction(lambda t: t.change(JournalEvent, {"run_id": "r"}, body="x"))


async def test_conditions_filter_rows(store: TortoiseStore) -> None:
    for n, owner in enumerate([None, "a", "b"]):
        await insert_record(store, row(Run, id=f"r{n}", conversation_id=f"c{n}", fence=n, owner=owner))

    async def ids(reader: Reader, **where: object) -> list[str]:
        return [run.id for run in await reader.find(Run, where, "-fence")]  # type: ignore[arg-type]

    async def body(reader: Reader) -> None:
        assert await ids(reader) == ["r2", "r1", "r0"]
        assert await ids(reader, owner=None) == ["r0"]
        assert await ids(reader, owner=is_not_null()) == ["r2", "r1"]
        assert await ids(reader, owner=ne("a")) == ["r2"]
        assert await ids(reader, owner=("a", "b"), fence=lt(2)) == ["r1"]
        assert await ids(reader, fence=gt(0), id=("r0", "r2")) == ["r2"]
        assert await ids(reader, id="r\x00") == []
        assert len(await reader.find(Run, {}, limit=2)) == 2
        assert [run.id for run in await reader.find(Run, {}, "-fence", 2, 1)] == ["r1", "r0"]
        assert await ids(reader, created_at=KeysetRange()) == ["r2", "r1", "r0"]
        assert await ids(reader, created_at=KeysetRange((0, "r2"), (0, "r1"))) == ["r1"]
        assert await ids(reader, fence=KeysetRange((2, "r2"))) == ["r1", "r0"]
        assert await ids(reader, fence=KeysetRange(until=(1, "r1"))) == ["r2", "r1"]

    await store.read(body)


async def test_change_all_returns_rows_in_key_order(store: TortoiseStore) -> None:
    for name in ("b", "c", "a"):
        await insert_record(store, row(Approval, id=name, run_id="r", status="pending"))
    await insert_record(store, row(Approval, id="d", run_id="other", status="pending"))

    where = {"run_id": "r", "status": ("pending", "approved")}
    changed = await store.transaction(lambda t: t.change_all(Approval, where, status="stopped"))
    await store.transaction(lambda t: t.remove(Approval, {"run_id": "r"}))
    left = await store.read(lambda reader: reader.find(Approval, {}))

    assert [approval.id for approval in changed] == ["a", "b", "c"]
    assert [approval.id for approval in left] == ["d"]


async def test_taken_key_is_conflict_and_rolls_back(store: TortoiseStore) -> None:
    await insert_record(store, row(Run, id="r1", conversation_id="c", state="running"))
    await insert_record(store, row(Run, id="r2", conversation_id="c", state="waiting"))

    async def wake(t: Transaction) -> None:
        await t.insert(row(Conversation, id="c"))
        await t.change(Run, {"id": "r2"}, state="queued")

    with pytest.raises(Conflict):
        await store.transaction(wake)
    assert await store.read(lambda reader: reader.get(Conversation, id="c")) is None


@pytest.mark.promise("one-run")
async def test_conversation_has_one_active_run(store: TortoiseStore) -> None:
    for n, state in enumerate(["completed", "waiting", "waiting", "queued"]):
        await insert_record(store, row(Run, id=f"r{n}", conversation_id="c", state=state))

    for state in ("queued", "running", "awaiting_approval"):
        assert await insert_record(store, row(Run, id="late", conversation_id="c", state=state), ok=None) is False


async def test_error_rolls_back(store: TortoiseStore) -> None:
    async def body(t: Transaction) -> None:
        await t.insert(row(Run, id="r", conversation_id="c"))
        raise LookupError("the body's own")

    with pytest.raises(LookupError, match="the body's own"):
        await store.transaction(body)
    assert await store.read(lambda reader: reader.find(Run, {})) == []


async def test_transaction_hiding_failed_statement_is_not_committed(store: TortoiseStore) -> None:
    """PostgreSQL answers such a COMMIT with ROLLBACK and no error; SQLite would commit the rest."""
    await insert_record(store, row(Run, id="r1", conversation_id="c", state="running"))
    await insert_record(store, row(Run, id="r2", conversation_id="c", state="waiting"))

    async def body(t: Transaction) -> None:
        await t.insert(row(Conversation, id="c"))
        with pytest.raises(Exception, match=r"(?i)unique"):
            await t.change(Run, {"id": "r2"}, state="running")

    with pytest.raises(RuntimeError, match="don't catch its error"):
        await store.transaction(body)
    assert await store.read(lambda reader: reader.get(Conversation, id="c")) is None


@pytest.mark.parametrize("start", ["transaction", "read"])
async def test_nested_transactions_are_refused(store: TortoiseStore, start: str) -> None:
    run: Callable[..., Awaitable[object]] = getattr(store, start)

    async def body(_: Reader) -> None:
        await store.read(lambda reader: reader.find(Run, {}))

    with pytest.raises(RuntimeError, match="use only the transaction"):
        await run(body)


async def test_task_started_in_transaction_can_not_use_store(store: TortoiseStore) -> None:
    tasks: list[asyncio.Task[object]] = []

    async def body(t: Transaction) -> None:
        await t.insert(row(Run, id="r", conversation_id="c"))
        tasks.append(asyncio.create_task(t.get(Run, id="r")))  # type: ignore[arg-type]
        tasks.append(asyncio.create_task(store.read(lambda reader: reader.get(Run, id="r"))))
        await asyncio.wait(tasks)

    await store.transaction(body)
    assert [type(task.exception()) for task in tasks] == [RuntimeError, RuntimeError]


async def test_transaction_can_not_be_used_after_its_end(store: TortoiseStore) -> None:
    kept: list[Transaction] = []

    async def body(t: Transaction) -> None:
        kept.append(t)

    await store.transaction(body)
    with pytest.raises(RuntimeError, match="not after its end"):
        await kept[0].insert(row(Run, id="r"))


async def test_commit_callback_receives_changed_runs(store_url: str) -> None:
    notified: list[Sequence[RunChanged]] = []
    async with open_store(store_url, on_commit=notified.append) as store:
        await insert_record(store, row(Run, id="r1", conversation_id="c"))
        await store.transaction(lambda t: append_journal_event(t, "r1"))
        await store.transaction(lambda t: t.change(Run, {"id": "nobody"}, state="x"))

        async def fails(t: Transaction) -> None:
            await t.change(Run, {"id": "r1"}, state="x")
            raise LookupError

        with pytest.raises(LookupError):
            await store.transaction(fails)

    assert [[change.run_id for change in changes] for changes in notified] == [["r1"], ["r1"], []]


async def test_commit_callback_receives_what_saves_reads(store_url: str) -> None:
    notified: list[Sequence[RunChanged]] = []
    async with open_store(store_url, on_commit=notified.append) as store:
        await insert_record(store, row(Run, id="r1", conversation_id="c", state="running", fence=3, stop_at=None))
        await store.transaction(lambda t: append_journal_event(t, "r1"))
        await store.transaction(lambda t: t.change(Run, {"id": "r1"}, stop_at=7))
        await store.transaction(lambda t: t.change(Run, {"id": "r1"}, state="stopped"))
        await insert_record(store, row(Message, id="m1", run_id="r1", conversation_id="c"))

    [created], [written], [asked], [stopped], [unknown] = notified
    assert (created.unstopped_fence, created.has_events) == (3, False)
    assert (written.unstopped_fence, written.has_events) == (3, True)
    assert (asked.unstopped_fence, asked.has_events) == (None, False)
    assert stopped.has_events
    assert unknown == RunChanged("r1")
    assert [change.addition and change.addition.after for change in (created, written, asked, unknown)] == [
        None,
        0,
        1,
        None,
    ]


async def test_time_comes_from_database_clock(store: TortoiseStore) -> None:
    now = await store.transaction(lambda t: t.now())

    assert abs(now - time.time_ns() // 1_000_000) < 5_000


async def test_change_sets_and_returns_time_of_database_clock(store: TortoiseStore) -> None:
    await insert_record(store, row(Run, id="r1", conversation_id="c"))

    async def body(t: Transaction) -> tuple[int, int, int]:
        before = await t.now()
        run = await t.change(Run, {"id": "r1"}, updated_at=Now(60_000))
        assert run is not None
        return before, run.updated_at - 60_000, await t.now()

    before, changed, after = await store.transaction(body)
    assert before <= changed <= after


async def test_clock_can_be_replaced(store_url: str) -> None:
    async with open_store(store_url, clock=lambda: 17) as store:
        assert await store.transaction(lambda t: t.now()) == 17


async def test_tail_returns_events_after_number(store: TortoiseStore) -> None:
    await insert_record(store, row(Run, id="r", conversation_id="c", state="running", journal=3, rest_seq=2))
    for n in (3, 1, 2):
        await insert_record(store, row(JournalEvent, run_id="r", n=n, body=str(n)))
    await insert_record(store, row(JournalEvent, run_id="other", n=9))

    whole = await store.read(lambda reader: reader.tail("r", 0))
    part = await store.read(lambda reader: reader.tail("r", 1, limit=1))
    none = await store.read(lambda reader: reader.tail("r", 3))

    assert whole is not None
    assert (whole.conversation_id, whole.state, whole.journal, whole.rest_seq) == ("c", "running", 3, 2)
    assert [event.n for event in whole.events] == [1, 2, 3]
    assert part is not None
    assert [event.n for event in part.events] == [2]
    assert none is not None
    assert none.events == ()
    assert await store.read(lambda reader: reader.tail("nobody", 0)) is None
    assert await store.read(lambda reader: reader.tail("\x00", 0)) is None


async def test_version_changes_with_every_sqlite_commit(store: TortoiseStore, store_url: str) -> None:
    seen = [await store.version()]
    for n in range(3):
        await insert_record(store, row(Run, id=str(n), conversation_id=str(n)), upkeep=n == 2)
        seen.append(await store.version())

    assert len(set(seen)) == (1 if store_url.startswith("postgres") else 4)
    assert await store.version() == seen[-1]
