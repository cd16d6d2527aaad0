"""Who owns a run, what is heard from aside meanwhile, and what the sweep does when one row is broken."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore
from src.api.errors import RunFenced, RunStopped
from src.api.ports import ToolReply, Transaction
from src.api.schemas.events import Completed, TitleGenerated
from src.api.schemas.record import Record
from src.api.schemas.records import (
    Approval,
    Call,
    Conversation,
    DeferredEvent,
    Execution,
    JournalEvent,
    Message,
    Run,
)
from src.api.services.endings import Ending, Endings
from src.api.services.journal import Journal
from src.api.services.leases import Lease, Leases, LeaseTimes
from src.api.services.outcomes import STALE, Outcomes
from src.api.services.pulse import Pulse
from src.api.services.recovery import Sweep
from src.api.services.settings import Limits
from src.api.services.tasks import Tasks
from src.api.services.worker import Worker
from src.api.utils.clock import SystemClock
from src.api.utils.ids import Uuid7
from src.api.utils.redaction import Redactor
from tests.support.rows import row
from tests.support.waiting import eventually
from tests.support.writing import insert

IDS, CLOCK, LIMITS = Uuid7(), SystemClock(), Limits()


async def _write(store: TortoiseStore, *rows: Record) -> None:
    for each in rows:
        await insert(store, each)


def _call(call_id: str, **values: Any) -> Call:
    call = row(Call, id=call_id, run_id="r", turn=1, tool="t", title="T", args="{}", shown="{}", result="[]")
    return replace(call, **{"kind": "change", "status": "awaiting_approval", **values})


def _run(**values: Any) -> Run:
    own = {"id": "r", "conversation_id": "c", "user_id": "local", "state": "running", "turn": 1, "usage": "{}"}
    return row(Run, **{**own, **values})


def _execution(state: str) -> Execution:
    return row(Execution, id="x", run_id="r", fence=1, nonce="n", state=state, result="[]")


def _outcomes(store: TortoiseStore) -> Outcomes:
    return Outcomes(store, Journal(IDS), IDS, Redactor(b"a key of the tests, 32 bytes long"), LIMITS)


def _leases(store: TortoiseStore) -> Leases:
    return Leases(store, CLOCK, "me", LeaseTimes())


@pytest.mark.promise("ordered", "replay")
@pytest.mark.parametrize(("state", "waits"), [("started", False), ("unknown", True)])
async def test_an_outcome_that_is_settled_later_splits_no_text(store: TortoiseStore, state: str, waits: bool) -> None:
    """The owner waits for a change that it has started; when that is unknown it goes on and may be in mid-sentence."""
    call = _call("x", status="executing")
    await _write(store, _run(fence=1, journal=5), row(Message, id="m", run_id="r"), call, _execution(state))
    assert await _outcomes(store).record_change(call, "n", ToolReply("succeeded", effect="done"))
    told = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": "r"}))
    later = await store.read(lambda reader: reader.find(DeferredEvent, {"run_id": "r"}))
    assert (len(told), len(later)) == ((0, 1) if waits else (1, 0))


@pytest.mark.promise("edits-are-new", "unknown")
@pytest.mark.parametrize(("state", "versions"), [("started", 2), ("unknown", 1)])
async def test_what_is_found_stale_later_is_not_asked_anew(store: TortoiseStore, state: str, versions: int) -> None:
    """The model has been told that it is unknown, and the turn is over: nobody would ever preview a new version."""
    call = _call("x", status="executing")
    await _write(store, _run(fence=1), call, _execution(state))
    stale = ToolReply("failed", error="it moved", code=STALE, effect="none")
    assert await _outcomes(store).record_change(call, "n", stale)
    assert len(await store.read(lambda reader: reader.find(Call, {"run_id": "r"}))) == versions


@pytest.mark.promise("one-owner", "unknown")
async def test_only_the_owner_says_that_an_outcome_is_not_known(store: TortoiseStore) -> None:
    """What has happened is evidence, whoever brings it; that nothing is known only the run's owner may say."""
    call = _call("x", status="executing")
    await _write(store, _run(fence=3), call, _execution("started"))
    with pytest.raises(RunFenced):
        await _outcomes(store).record_change(call, "n", ToolReply("unknown"), fence=2)
    assert await _outcomes(store).record_change(call, "n", ToolReply("succeeded", effect="done"), fence=2)


@pytest.mark.promise("stop")
async def test_who_takes_over_a_stopped_run_knows_it_from_the_start(store: TortoiseStore) -> None:
    await _write(store, _run(stop_at=1, lease_until=1))
    lease = await _leases(store).claim("r")
    assert lease is not None
    with pytest.raises(RunStopped):
        lease.check()


@pytest.mark.promise("bounded")
async def test_a_run_that_waits_for_its_turn_is_not_lined_up_twice(store: TortoiseStore) -> None:
    await _write(store, row(Conversation, id="c", metadata="{}"), _run(state="queued"))
    walked: list[str] = []

    async def leg(_lease: Lease, run: Run) -> None:
        walked.append(run.id)
        await store.transaction(lambda tx: tx.change(Run, {"id": run.id}, state="awaiting_approval"))

    async def nothing(_lease: Lease) -> None: ...

    endings = Endings(store, Journal(IDS), IDS)
    async with Pulse(store, LocalBus(CLOCK), CLOCK) as pulse, Tasks(1) as tasks:
        worker = Worker(store, _leases(store), endings, pulse, tasks, nothing, leg)
        for _ in range(100):
            worker.wake("r")
        assert sum(task.get_name() == "run r" for task in asyncio.all_tasks()) == 1
        await eventually(lambda: walked == ["r"])
        await store.transaction(lambda tx: tx.change(Run, {"id": "r"}, state="queued"))
        worker.wake("r")
        await eventually(lambda: walked == ["r", "r"])


@pytest.mark.promise("recovery")
async def test_one_broken_row_holds_up_no_other(store: TortoiseStore) -> None:
    await _write(store, _call("x", run_id="s", shown="not JSON"), _call("y"))
    await _write(store, *(row(Approval, id=a, run_id=r, status="pending", objects="[]") for a, r in ("xs", "yr")))
    await _write(store, _run(id="s", conversation_id="d", state="awaiting_approval"), _run(state="awaiting_approval"))
    woken: list[str] = []
    endings = Endings(store, Journal(IDS), IDS)
    await Sweep(store, Journal(IDS), endings, CLOCK, LIMITS, woken.append, 10).once()
    assert "r" in woken
    approval = await store.read(lambda reader: reader.get(Approval, id="y"))
    assert approval is not None
    assert approval.status == "expired"


@pytest.mark.promise("recovery")
async def test_an_owner_that_goes_down_in_good_order_is_no_restart(store: TortoiseStore) -> None:
    await _write(store, _run(state="queued"))
    leases = _leases(store)
    for _ in range(3):
        lease = await leases.claim("r")
        assert lease is not None
        await leases.release(lease)
    await store.transaction(lambda tx: tx.change(Run, {"id": "r"}, lease_until=1))
    assert await leases.claim("r") is not None
    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert run is not None
    assert (run.fence, run.restarts, run.journal) == (4, 1, 4)


@pytest.mark.promise("replay", "bounded")
async def test_all_that_waited_for_a_border_is_told_at_it(store: TortoiseStore) -> None:
    await _write(store, _run(fence=1))
    event = Completed(type="completed", status="completed", duration_ms=1)
    journal = Journal(IDS)

    async def body(tx: Transaction) -> Run:
        run = await tx.get(Run, id="r")
        assert run is not None
        await journal.record_or_defer(tx, run, [event] * 250, 0)
        return await journal.record_as_owner(tx, "r", 1, [event], 0)

    assert (await store.transaction(body)).journal == 251
    told = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": "r"}, "n"))
    assert [each.n for each in told] == list(range(1, 252))


@pytest.mark.promise("ordered")
async def test_what_still_waits_for_a_border_is_told_before_the_end(store: TortoiseStore) -> None:
    """Who follows a run reads no further than the event that ends it."""
    await _write(store, row(Conversation, id="c", title="A title", metadata="{}"), _run(fence=1))
    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert run is not None
    title = TitleGenerated(type="conversation.title.generated", title="A title")
    await store.transaction(lambda tx: Journal(IDS).record_or_defer(tx, run, [title], 0))
    lease = Lease(run, CLOCK, 15, CLOCK.boot())
    await Endings(store, Journal(IDS), IDS).end_owned(lease, Ending("completed"))
    told = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": "r"}, "n"))
    assert [each.type for each in told] == ["conversation.title.generated", "completed", "workflow_complete"]
    ended = await store.read(lambda reader: reader.get(Run, id="r"))
    assert ended is not None
    assert (ended.journal, ended.rest) == (3, 3)
