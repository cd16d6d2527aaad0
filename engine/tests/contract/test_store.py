"""What every store does, on SQLite and on PostgreSQL."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import Conflict
from src.api.ports import Reader, Transaction
from src.api.schemas.query import Passage, Plus, above, below, no, other_than
from src.api.schemas.record import Record
from src.api.schemas.records import RECORDS, Approval, Conversation, JournalEvent, Run, User
from tests.support.rows import row
from tests.support.writing import insert, journal


@pytest.mark.parametrize("kind", RECORDS)
async def test_a_row_comes_back_as_it_went_in(store: TortoiseStore, kind: type[Record]) -> None:
    empty = row(kind)
    await insert(store, empty)

    assert await store.read(lambda reader: reader.find(kind, {})) == [empty]


async def test_texts_and_numbers_keep_every_bit(store: TortoiseStore) -> None:
    text = '{"x":1e16,"y":5.0,"z":"é\u2028🙂\\u0000"}' + "ä" * 100_000
    full = row(Run, id="r", conversation_id="c", usage=text, journal=2**63 - 1, fence=-(2**63), turn=2**31 - 1)
    await insert(store, full)

    assert await store.read(lambda reader: reader.get(Run, id="r")) == full


async def test_an_insert_tells_whether_the_key_was_free(store: TortoiseStore) -> None:
    first = row(User, id="u1", email="a@example.org")

    assert await store.transaction(lambda t: t.insert(first)) is True
    assert await store.transaction(lambda t: t.insert(first)) is False
    assert await store.transaction(lambda t: t.insert(row(User, id="u2", email="a@example.org"))) is False
    assert await store.read(lambda reader: reader.find(User, {})) == [first]


async def test_of_many_inserts_of_one_key_one_is_told_yes(store: TortoiseStore) -> None:
    for n in range(30):
        told = await asyncio.gather(*(insert(store, row(JournalEvent, run_id="r", n=n), ok=None) for _ in range(4)))
        assert sorted(told) == [False, False, False, True]


async def test_a_change_answers_with_the_row_as_it_is_now(store: TortoiseStore) -> None:
    await insert(store, row(Run, id="r", conversation_id="c", state="queued", fence=4))

    async def claim(t: Transaction) -> Run | None:
        return await t.change(Run, {"id": "r", "state": "queued"}, state="running", fence=Plus(1), owner="w")

    claimed = await store.transaction(claim)
    assert claimed == row(Run, id="r", conversation_id="c", state="running", fence=5, owner="w")
    assert await store.transaction(claim) is None


@pytest.mark.parametrize("where", [{"state": "queued"}, {"id": ("r",)}, {"id": other_than("x")}, {"id": None}])
async def test_a_change_without_the_whole_key_is_refused(store: TortoiseStore, where: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must name its key: id is missing"):
        await store.transaction(lambda t: t.change(Run, where, state="x"))
    with pytest.raises(ValueError, match="must name its key: n is missing"):
        await store.transaction(lambda t: t.change(JournalEvent, {"run_id": "r"}, body="x"))


async def test_conditions(store: TortoiseStore) -> None:
    for n, owner in enumerate([None, "a", "b"]):
        await insert(store, row(Run, id=f"r{n}", conversation_id=f"c{n}", fence=n, owner=owner))

    async def ids(reader: Reader, **where: object) -> list[str]:
        return [run.id for run in await reader.find(Run, where, "-fence")]  # type: ignore[arg-type]

    async def body(reader: Reader) -> None:
        assert await ids(reader) == ["r2", "r1", "r0"]
        assert await ids(reader, owner=None) == ["r0"]
        assert await ids(reader, owner=no(None)) == ["r2", "r1"]
        assert await ids(reader, owner=other_than("a")) == ["r2"]
        assert await ids(reader, owner=("a", "b"), fence=below(2)) == ["r1"]
        assert await ids(reader, fence=above(0), id=("r0", "r2")) == ["r2"]
        assert await ids(reader, id="r\x00") == []
        assert len(await reader.find(Run, {}, limit=2)) == 2
        assert [run.id for run in await reader.find(Run, {}, "-fence", 2, 1)] == ["r1", "r0"]
        assert await ids(reader, created_at=Passage()) == ["r2", "r1", "r0"]
        assert await ids(reader, created_at=Passage((0, "r2"), (0, "r1"))) == ["r1"]
        assert await ids(reader, fence=Passage((2, "r2"))) == ["r1", "r0"]
        assert await ids(reader, fence=Passage(until=(1, "r1"))) == ["r2", "r1"]

    await store.read(body)


async def test_changing_all_answers_in_the_order_of_the_keys(store: TortoiseStore) -> None:
    for name in ("b", "c", "a"):
        await insert(store, row(Approval, id=name, run_id="r", status="pending"))
    await insert(store, row(Approval, id="d", run_id="other", status="pending"))

    where = {"run_id": "r", "status": ("pending", "approved")}
    changed = await store.transaction(lambda t: t.change_all(Approval, where, status="stopped"))
    await store.transaction(lambda t: t.remove(Approval, {"run_id": "r"}))
    left = await store.read(lambda reader: reader.find(Approval, {}))

    assert [approval.id for approval in changed] == ["a", "b", "c"]
    assert [approval.id for approval in left] == ["d"]


async def test_a_taken_key_is_a_conflict_and_undoes_the_transaction(store: TortoiseStore) -> None:
    await insert(store, row(Run, id="r1", conversation_id="c", state="running"))
    await insert(store, row(Run, id="r2", conversation_id="c", state="waiting"))

    async def wake(t: Transaction) -> None:
        await t.insert(row(Conversation, id="c"))
        await t.change(Run, {"id": "r2"}, state="queued")

    with pytest.raises(Conflict):
        await store.transaction(wake)
    assert await store.read(lambda reader: reader.get(Conversation, id="c")) is None


@pytest.mark.promise("one-run")
async def test_a_conversation_has_one_active_run(store: TortoiseStore) -> None:
    for n, state in enumerate(["completed", "waiting", "waiting", "queued"]):
        await insert(store, row(Run, id=f"r{n}", conversation_id="c", state=state))

    for state in ("queued", "running", "awaiting_approval"):
        assert await insert(store, row(Run, id="late", conversation_id="c", state=state), ok=None) is False


async def test_an_error_undoes_everything(store: TortoiseStore) -> None:
    async def body(t: Transaction) -> None:
        await t.insert(row(Run, id="r", conversation_id="c"))
        raise LookupError("the body's own")

    with pytest.raises(LookupError, match="the body's own"):
        await store.transaction(body)
    assert await store.read(lambda reader: reader.find(Run, {})) == []


async def test_a_body_that_hides_a_failed_statement_is_not_committed(store: TortoiseStore) -> None:
    """PostgreSQL answers such a COMMIT with ROLLBACK and no error; SQLite would commit the rest."""
    await insert(store, row(Run, id="r1", conversation_id="c", state="running"))
    await insert(store, row(Run, id="r2", conversation_id="c", state="waiting"))

    async def body(t: Transaction) -> None:
        await t.insert(row(Conversation, id="c"))
        with pytest.raises(Exception, match=r"(?i)unique"):
            await t.change(Run, {"id": "r2"}, state="running")

    with pytest.raises(RuntimeError, match="let its error through"):
        await store.transaction(body)
    assert await store.read(lambda reader: reader.get(Conversation, id="c")) is None


@pytest.mark.parametrize("start", ["transaction", "read"])
async def test_a_body_opens_nothing_else(store: TortoiseStore, start: str) -> None:
    run: Callable[..., Awaitable[object]] = getattr(store, start)

    async def body(_: Reader) -> None:
        await store.read(lambda reader: reader.find(Run, {}))

    with pytest.raises(RuntimeError, match="no other"):
        await run(body)


async def test_a_task_started_in_a_body_can_not_use_the_store(store: TortoiseStore) -> None:
    tasks: list[asyncio.Task[object]] = []

    async def body(t: Transaction) -> None:
        await t.insert(row(Run, id="r", conversation_id="c"))
        tasks.append(asyncio.create_task(t.get(Run, id="r")))  # type: ignore[arg-type]
        tasks.append(asyncio.create_task(store.read(lambda reader: reader.get(Run, id="r"))))
        await asyncio.wait(tasks)

    await store.transaction(body)
    assert [type(task.exception()) for task in tasks] == [RuntimeError, RuntimeError]


async def test_a_transaction_is_of_no_use_after_its_body(store: TortoiseStore) -> None:
    kept: list[Transaction] = []

    async def body(t: Transaction) -> None:
        kept.append(t)

    await store.transaction(body)
    with pytest.raises(RuntimeError, match="while it lasts"):
        await kept[0].insert(row(Run, id="r"))


async def test_the_caller_is_told_of_the_runs_that_were_touched(store_url: str) -> None:
    rung: list[frozenset[str]] = []
    async with open_store(store_url, committed=rung.append) as store:
        await insert(store, row(Run, id="r1", conversation_id="c"))
        await store.transaction(lambda t: journal(t, "r1"))
        await store.transaction(lambda t: t.change(Run, {"id": "nobody"}, state="x"))

        async def fails(t: Transaction) -> None:
            await t.change(Run, {"id": "r1"}, state="x")
            raise LookupError

        with pytest.raises(LookupError):
            await store.transaction(fails)

    assert rung == [frozenset({"r1"}), frozenset({"r1"}), frozenset()]


async def test_the_clock_is_the_database_s(store: TortoiseStore) -> None:
    now = await store.transaction(lambda t: t.now())

    assert abs(now - time.time_ns() // 1_000_000) < 5_000


async def test_a_test_can_bring_its_own_clock(store_url: str) -> None:
    async with open_store(store_url, clock=lambda: 17) as store:
        assert await store.transaction(lambda t: t.now()) == 17


async def test_the_tail_of_a_run(store: TortoiseStore) -> None:
    await insert(store, row(Run, id="r", conversation_id="c", state="running", journal=3, rest=2))
    for n in (3, 1, 2):
        await insert(store, row(JournalEvent, run_id="r", n=n, body=str(n)))
    await insert(store, row(JournalEvent, run_id="other", n=9))

    whole = await store.read(lambda reader: reader.tail("r", 0))
    part = await store.read(lambda reader: reader.tail("r", 1, limit=1))
    none = await store.read(lambda reader: reader.tail("r", 3))

    assert whole is not None
    assert (whole.conversation_id, whole.state, whole.journal, whole.rest) == ("c", "running", 3, 2)
    assert [event.n for event in whole.events] == [1, 2, 3]
    assert part is not None
    assert [event.n for event in part.events] == [2]
    assert none is not None
    assert none.events == ()
    assert await store.read(lambda reader: reader.tail("nobody", 0)) is None
    assert await store.read(lambda reader: reader.tail("\x00", 0)) is None


async def test_the_version_moves_with_every_commit(store: TortoiseStore, store_url: str) -> None:
    seen = [await store.version()]
    for n in range(3):
        await insert(store, row(Run, id=str(n), conversation_id=str(n)), upkeep=n == 2)
        seen.append(await store.version())

    assert len(set(seen)) == (1 if store_url.startswith("postgres") else 4)
    assert await store.version() == seen[-1]
