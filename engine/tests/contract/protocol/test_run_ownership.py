"""Run ownership: late results, takeovers, deferred events, and a sweep that meets a broken row."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from skyflo_common.clock import SystemClock
from skyflo_common.redaction import Redactor
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore, open_store
from src.api.errors import RunFenced, RunStopped
from src.api.ports import Settlement, ToolReply, Transaction
from src.api.schemas.events import EVENT, Completed, Event, TitleGenerated
from src.api.schemas.records import (
    Approval,
    Call,
    Conversation,
    DeferredEvent,
    Execution,
    JournalEvent,
    Message,
    Record,
    Run,
)
from src.api.services.background import BackgroundTasks
from src.api.services.lease import Lease
from src.api.services.limits import Limits
from src.api.services.runs import stop
from src.api.services.runs.completion import RunCompletion, RunResult
from src.api.services.runs.leases import Leases, LeaseSettings
from src.api.services.runs.sweep import Sweep
from src.api.services.runs.worker import Worker
from src.api.services.streaming.journal import Journal
from src.api.services.streaming.watcher import RunWatcher
from src.api.services.tools.results import STALE, ResultRecorder
from src.api.utils.ids import Uuid7
from tests.support.clock import FakeClock
from tests.support.core_harness import FakeToolServer, open_core_harness
from tests.support.rows import row
from tests.support.store_writes import insert_record
from tests.support.waiting import PATIENCE, eventually

IDS, CLOCK, LIMITS = Uuid7(), SystemClock(), Limits()


async def _write(store: TortoiseStore, *rows: Record) -> None:
    for each in rows:
        await insert_record(store, each)


def _call(call_id: str, **values: Any) -> Call:
    call = row(Call, id=call_id, run_id="r", turn=1, tool="t", title="T", args="{}", redacted_args="{}", result="[]")
    return replace(call, **{"kind": "change", "status": "awaiting_approval", **values})


def _run(**values: Any) -> Run:
    own = {"id": "r", "conversation_id": "c", "user_id": "local", "state": "running", "turn": 1, "usage": "{}"}
    return row(Run, **{**own, **values})


def _execution(state: str) -> Execution:
    return row(Execution, id="x", run_id="r", fence=1, nonce="n", state=state, result="[]")


def _result_recorder(store: TortoiseStore) -> ResultRecorder:
    return ResultRecorder(store, Journal(IDS), IDS, Redactor(b"a key of the tests, 32 bytes long"), LIMITS)


def _leases(store: TortoiseStore) -> Leases:
    return Leases(store, CLOCK, "me", LeaseSettings())


@pytest.mark.promise("ordered", "replay")
@pytest.mark.parametrize(("state", "waits"), [("started", False), ("unknown", True)])
async def test_late_result_does_not_split_text(store: TortoiseStore, state: str, waits: bool) -> None:
    """The owner waits for a started change, but not for an unknown one: then its text may be incomplete."""
    call = _call("x", status="executing")
    await _write(store, _run(fence=1, journal=5), row(Message, id="m", run_id="r"), call, _execution(state))
    assert await _result_recorder(store).record_change(call, "n", ToolReply("succeeded", effect="done"))
    recorded = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": "r"}))
    deferred = await store.read(lambda reader: reader.find(DeferredEvent, {"run_id": "r"}))
    assert (len(recorded), len(deferred)) == ((0, 1) if waits else (1, 0))


@pytest.mark.promise("edits-are-new", "unknown")
@pytest.mark.parametrize(("state", "versions"), [("started", 2), ("unknown", 1)])
async def test_late_stale_result_creates_no_new_version(store: TortoiseStore, state: str, versions: int) -> None:
    """The model knows the outcome as unknown and the turn is over: a new version would never be previewed."""
    call = _call("x", status="executing")
    await _write(store, _run(fence=1), call, _execution(state))
    stale = ToolReply("failed", error="it moved", code=STALE, effect="none")
    assert await _result_recorder(store).record_change(call, "n", stale)
    assert len(await store.read(lambda reader: reader.find(Call, {"run_id": "r"}))) == versions


@pytest.mark.promise("one-owner", "unknown")
async def test_only_owner_records_unknown_outcome(store: TortoiseStore) -> None:
    """Any worker may report a known result; only the run's owner may report an unknown one."""
    call = _call("x", status="executing")
    await _write(store, _run(fence=3), call, _execution("started"))
    with pytest.raises(RunFenced):
        await _result_recorder(store).record_change(call, "n", ToolReply("unknown"), fence=2)
    assert await _result_recorder(store).record_change(call, "n", ToolReply("succeeded", effect="done"), fence=2)


class SlowToolServer(FakeToolServer):
    """A server that answers no question of recovery until it was asked this often."""

    silent = 0
    code = "no_answer"

    async def settle(self, server: str, approval_id: str) -> Settlement:
        self.silent -= 1
        if self.silent >= 0:
            return Settlement("cannot_tell", ToolReply("failed", error="no answer", code=self.code))
        return await super().settle(server, approval_id)


@pytest.mark.promise("recovery", "unknown")
@pytest.mark.parametrize(
    ("code", "silent", "state"),
    [
        ("no_answer", 3, "succeeded"),
        ("never_sent", 3, "succeeded"),
        ("no_answer", 1000, "unknown"),
        ("refused", 1, "unknown"),
    ],
)
async def test_recovery_asks_again_while_the_tool_server_does_not_answer(
    store: TortoiseStore, code: str, silent: int, state: str
) -> None:
    await _write(store, _run(fence=2, state="running", lease_until=2**52), row(Conversation, id="c", user_id="local"))
    await _write(store, _call("x", status="executing"), _execution("started"), row(Approval, id="x", server="skyflo"))
    clock, tools = FakeClock(), SlowToolServer(store, grants={"x": "succeeded"})
    tools.silent, tools.code = silent, code
    async with open_core_harness(store, LocalBus(clock), clock, tools, limits=Limits()) as harness:
        lease = Lease(await harness.run("r"), clock, 15, clock.monotonic())
        recovery = asyncio.create_task(harness.core.verification.recover(lease))
        while not recovery.done():
            await clock.advance(0.5)
        await recovery
    assert (await store.read(lambda reader: reader.get(Execution, id="x"))).state == state  # type: ignore[union-attr]
    assert silent - tools.silent <= 122, "a minute, asked twice a second"


@pytest.mark.promise("stop")
async def test_claimed_stopped_run_is_known_as_stopped(store: TortoiseStore) -> None:
    await _write(store, _run(stop_at=1, lease_until=1))
    lease = await _leases(store).claim("r")
    assert lease is not None
    with pytest.raises(RunStopped):
        lease.check()


@pytest.mark.promise("bounded")
async def test_waiting_run_is_scheduled_once(store: TortoiseStore) -> None:
    await _write(store, row(Conversation, id="c", metadata="{}"), _run(state="queued"))
    executed: list[str] = []

    async def execute(_lease: Lease, run: Run) -> None:
        executed.append(run.id)
        await store.transaction(lambda tx: tx.change(Run, {"id": run.id}, state="awaiting_approval"))

    async def do_nothing(_lease: Lease) -> None: ...

    completion = RunCompletion(store, Journal(IDS), IDS)
    async with RunWatcher(store, LocalBus(CLOCK), CLOCK) as watcher, BackgroundTasks(1) as tasks:
        worker = Worker(store, _leases(store), completion, watcher, tasks, do_nothing, execute, lambda _: None)
        for _ in range(100):
            worker.wake("r")
        assert sum(task.get_name() == "run r" for task in asyncio.all_tasks()) == 1
        await eventually(lambda: executed == ["r"])
        await store.transaction(lambda tx: tx.change(Run, {"id": "r"}, state="queued"))
        worker.wake("r")
        await eventually(lambda: executed == ["r", "r"])


@pytest.mark.promise("recovery")
async def test_broken_row_does_not_block_sweep(store: TortoiseStore) -> None:
    await _write(store, _call("x", run_id="s", redacted_args="not JSON"), _call("y"))
    await _write(store, *(row(Approval, id=a, run_id=r, status="pending", objects="[]") for a, r in ("xs", "yr")))
    await _write(store, _run(id="s", conversation_id="d", state="awaiting_approval"), _run(state="awaiting_approval"))
    woken: list[str] = []
    completion = RunCompletion(store, Journal(IDS), IDS)
    await Sweep(store, Journal(IDS), completion, CLOCK, LIMITS, woken.append, 10).once()
    assert "r" in woken
    approval = await store.read(lambda reader: reader.get(Approval, id="y"))
    assert approval is not None
    assert approval.status == "expired"


@pytest.mark.promise("recovery")
async def test_released_lease_is_not_a_restart(store: TortoiseStore) -> None:
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


@pytest.mark.promise("stop")
async def test_owner_notices_stop_from_before_it_listened(store: TortoiseStore) -> None:
    """No notification comes, and the watcher, which has read the run for another subscriber, sees no change."""
    await _write(store, _run(fence=1, stop_at=5))
    lease = Lease(await _read_run(store), CLOCK, 15, CLOCK.monotonic())
    async with RunWatcher(store, LocalBus(CLOCK), CLOCK) as watcher, watcher.watch("r") as follower:
        assert await follower.wait(PATIENCE)
        async with asyncio.timeout(stop.POLL_INTERVAL - 1):
            await stop.watch_for_stop(store, watcher, lease)
    assert lease.stopped


@pytest.mark.promise("replay", "bounded")
async def test_deferred_events_are_recorded_at_boundary(store: TortoiseStore) -> None:
    await _write(store, _run(fence=1))
    event = Completed(type="completed", status="completed", duration_ms=1)
    journal = Journal(IDS)

    async def body(tx: Transaction) -> Run:
        run = await tx.get(Run, id="r")
        assert run is not None
        await journal.record_or_defer(tx, run, [event] * 250, 0)
        return await journal.record_as_owner(tx, "r", 1, [event])

    assert (await store.transaction(body)).journal == 251
    recorded = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": "r"}, "n"))
    assert [each.n for each in recorded] == list(range(1, 252))


@pytest.mark.promise("ordered")
@pytest.mark.parametrize("by_earlier_version", [False, True])
async def test_deferred_events_are_recorded_before_end(store: TortoiseStore, by_earlier_version: bool) -> None:
    """Readers stop at the event that ends the run. A process of an earlier version defers without setting the flag."""
    await _write(store, row(Conversation, id="c", title="A title", metadata="{}"), _run(fence=1))
    run = await _read_run(store)
    title = TitleGenerated(type="conversation.title.generated", title="A title")
    await store.transaction(lambda tx: Journal(IDS).record_or_defer(tx, run, [title], 0))
    if by_earlier_version:
        await store.transaction(lambda tx: tx.change(Run, {"id": "r"}, has_deferred=False))
    lease = Lease(run, CLOCK, 15, CLOCK.monotonic())
    await RunCompletion(store, Journal(IDS), IDS).finish_as_owner(lease, RunResult("completed"), is_settled=True)
    recorded = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": "r"}, "n"))
    assert [each.type for each in recorded] == ["conversation.title.generated", "completed", "workflow_complete"]
    ended = await _read_run(store)
    assert (ended.state, ended.journal, ended.rest_seq, ended.has_deferred) == ("completed", 3, 3, False)


@pytest.mark.promise("ordered", "replay")
async def test_owner_records_each_deferred_event_with_its_next_ones(store: TortoiseStore, store_url: str) -> None:
    """Another process defers events while the owner records its own: none is lost, repeated, or kept for later."""
    await _write(store, _run(fence=1))
    journal, deferred = Journal(IDS), [_completed(ms) for ms in range(40)]

    async def defer_all(other: TortoiseStore) -> None:
        for event in deferred:

            async def body(tx: Transaction, event: Event = event) -> None:
                run = await tx.change(Run, {"id": "r"}, updated_at=0)
                assert run is not None
                await journal.record_or_defer(tx, run, [event], 0)

            await other.transaction(body)

    async with open_store(store_url) as other:
        deferring = asyncio.create_task(defer_all(other))
        while not deferring.done():
            await store.transaction(lambda tx: journal.record_as_owner(tx, "r", 1, [_completed(-1)]))
        await deferring
    run = await store.transaction(lambda tx: journal.record_as_owner(tx, "r", 1, [_completed(-1)]))
    recorded = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": "r"}, "n"))
    assert [each.n for each in recorded] == list(range(1, run.journal + 1))
    of_others = [event for each in recorded if (event := EVENT.validate_json(each.body)) != _completed(-1)]
    assert of_others == deferred
    assert not run.has_deferred


def _completed(ms: int) -> Event:
    return Completed(type="completed", status="completed", duration_ms=ms)


async def _read_run(store: TortoiseStore) -> Run:
    run = await store.read(lambda reader: reader.get(Run, id="r"))
    assert run is not None
    return run
