"""Hand runs over between processes: leases that are released, offers to other workers, and the poll of a worker."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore
from src.api.ports import QueuedRun, Store, Transaction
from src.api.schemas.records import Run
from src.api.services.background import BackgroundTasks
from src.api.services.lease import Lease
from src.api.services.runs.completion import RunCompletion
from src.api.services.runs.leases import RELEASED, Leases, LeaseSettings
from src.api.services.runs.queue import QueuePoll, read_backlog
from src.api.services.runs.slots import MAX_CONCURRENT_RUNS
from src.api.services.runs.worker import Worker
from src.api.services.streaming.journal import Journal
from src.api.services.streaming.watcher import RunWatcher
from src.api.utils.ids import Uuid7
from tests.support.core_harness import FakeToolServer, open_core_harness
from tests.support.rows import row
from tests.support.store_writes import insert_record
from tests.support.waiting import PATIENCE, eventually

T = TypeVar("T")
IDS, CLOCK = Uuid7(), SystemClock()


def _run(run_id: str = "r", state: str = "queued", **values: int) -> Run:
    return row(Run, id=run_id, conversation_id=f"c-{run_id}", user_id="local", state=state, usage="{}", **values)


def _leases(store: Store, owner: str = "me") -> Leases:
    return Leases(store, CLOCK, owner, LeaseSettings())


async def _read(store: TortoiseStore, run_id: str = "r") -> Run:
    run = await store.read(lambda reader: reader.get(Run, id=run_id))
    assert run is not None
    return run


def _notice_transaction(store: TortoiseStore, monkeypatch: pytest.MonkeyPatch, function: str) -> asyncio.Event:
    """Return an event that is set when a transaction of this function begins."""
    transaction, began = store.transaction, asyncio.Event()

    async def notice(body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        if body.__qualname__.startswith(function):
            began.set()
        return await transaction(body, upkeep=upkeep)

    monkeypatch.setattr(store, "transaction", notice)
    return began


@pytest.mark.promise("recovery")
async def test_renewal_does_not_take_back_a_released_run(store: TortoiseStore) -> None:
    await insert_record(store, _run())
    leases = _leases(store)
    lease = await leases.claim("r")
    assert lease is not None
    await leases.release(lease)
    await leases._renew(lease)
    assert lease.halted.is_set()
    assert await _leases(store, "other").claim("r") is not None
    assert (await _read(store)).restarts == 0


@pytest.mark.promise("recovery")
async def test_cancelled_claim_leaves_the_run_to_others(store: TortoiseStore, monkeypatch: pytest.MonkeyPatch) -> None:
    await insert_record(store, _run())
    began = _notice_transaction(store, monkeypatch, "Leases.claim.")
    claiming = asyncio.create_task(_leases(store).claim("r"))
    await began.wait()
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    assert (await _read(store)).lease_until == RELEASED
    assert await _leases(store, "other").claim("r") is not None
    assert (await _read(store)).restarts == 0


@asynccontextmanager
async def _open_worker(
    store: TortoiseStore,
    executed: list[str],
    change: Coroutine[None, None, None] | None = None,
    shutdown_timeout: float = PATIENCE,
) -> AsyncIterator[tuple[Worker, list[str]]]:
    """Yield a worker whose runs go on until it stops, and the ids of the runs that it offers to others.

    With `change`, each run has that change in flight.
    """
    offered: list[str] = []

    async def execute(lease: Lease, run: Run) -> None:
        if change is not None:
            lease.change_in_flight = tasks.spawn_protected(change, "change")
        executed.append(run.id)
        await asyncio.Event().wait()

    async def do_nothing(_lease: Lease) -> None: ...

    completion = RunCompletion(store, Journal(IDS), IDS)
    async with RunWatcher(store, LocalBus(CLOCK), CLOCK) as watcher, BackgroundTasks(shutdown_timeout) as tasks:
        yield (
            Worker(
                store,
                _leases(store),
                completion,
                watcher,
                tasks,
                do_nothing,
                execute,
                lambda run: offered.append(run.run_id),
            ),
            offered,
        )


@pytest.mark.promise("recovery")
async def test_stopping_worker_releases_and_offers_its_runs(store: TortoiseStore) -> None:
    await insert_record(store, _run())
    executed: list[str] = []
    async with _open_worker(store, executed) as (worker, offered):
        worker.wake("r")
        await eventually(lambda: executed == ["r"])
        assert (worker.slots.taken, offered) == (1, [])
    assert offered == ["r"]
    assert ((await _read(store)).lease_until, worker.slots.taken) == (RELEASED, 0)


@pytest.mark.promise("recovery", "once")
async def test_stopping_worker_releases_a_run_once_its_change_has_ended(store: TortoiseStore) -> None:
    await insert_record(store, _run())
    executed: list[str] = []
    stopping, held = asyncio.Event(), list[bool]()

    async def change() -> None:
        await stopping.wait()
        held.append((await _read(store)).lease_until != RELEASED)

    async with _open_worker(store, executed, change()) as (worker, offered):
        worker.wake("r")
        await eventually(lambda: executed == ["r"])
        asyncio.get_running_loop().call_soon(stopping.set)
    assert held == [True], "the result of the change may still arrive here"
    assert (await _read(store)).lease_until == RELEASED
    assert offered[-1] == "r"


@pytest.mark.promise("recovery", "once")
async def test_change_that_starts_while_its_process_stops_is_made(
    store: TortoiseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process stops between the transaction that starts the change and its request to the tool server."""
    tools, starting = FakeToolServer(store), _notice_transaction(store, monkeypatch, "Ledger._start.")
    async with open_core_harness(store, LocalBus(CLOCK), CLOCK, tools) as first:
        run_id, (call,) = await first.chat_until_rest("change it")
        await first.decide(call)
        await starting.wait()
    async with open_core_harness(store, LocalBus(CLOCK), CLOCK, tools, sweep_interval=0.01) as second:
        assert (await second.until(run_id, "completed")).restarts == 0
        assert [each.status for each in await second.calls(run_id)] == ["completed"]
    assert (tools.effects, tools.violations) == ({call: 1}, [])


async def test_stop_does_not_wait_for_ever_for_a_change(store: TortoiseStore) -> None:
    await insert_record(store, _run())
    executed: list[str] = []
    ends = asyncio.Event()

    async def change() -> None:
        await ends.wait()

    async with asyncio.timeout(PATIENCE), _open_worker(store, executed, change(), 0.01) as (worker, _):
        worker.wake("r")
        await eventually(lambda: executed == ["r"])
    assert (await _read(store)).lease_until != RELEASED, "its result may still arrive here"
    ends.set()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task.get_name() in ("change", "release r")))


@pytest.mark.promise("recovery")
async def test_run_that_ends_while_its_process_stops_offers_the_next_one(
    store: TortoiseStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    ending = _notice_transaction(store, monkeypatch, "RunCompletion.finish_as_owner.")
    offered: list[str] = []
    bus = LocalBus(CLOCK)
    monkeypatch.setattr(bus, "offer", lambda run: offered.append(run.run_id))
    async with open_core_harness(store, bus, CLOCK, FakeToolServer(store)) as harness:
        harness.gate.clear()
        first = await harness.chat("hello")
        second = await harness.chat("and now?", first.conversation_id, on_busy="enqueue")
        harness.gate.set()
        await ending.wait()
    assert (await harness.run(first.run_id)).state == "completed"
    assert (await harness.run(second.run_id)).state == "queued"
    assert second.run_id in offered


async def test_closed_worker_offers_what_it_is_asked_to_execute(store: TortoiseStore) -> None:
    async with _open_worker(store, []) as (worker, offered):
        worker.close()
        worker.wake("r")
        assert offered == ["r"]
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "run r"]


async def test_worker_without_a_free_slot_leaves_runs_to_others(store: TortoiseStore) -> None:
    await insert_record(store, _run())
    async with _open_worker(store, []) as (worker, offered):
        worker.slots.taken = MAX_CONCURRENT_RUNS
        worker.take_offer(QueuedRun("r"))
        assert not [task for task in asyncio.all_tasks() if task.get_name() == "run r"]
        await QueuePoll(store, worker, CLOCK).once()
        assert offered == []
        worker.wake("other")
        assert offered == ["other"], "a run that waits here may start elsewhere"
    assert (await _read(store)).state == "queued"


@pytest.mark.promise("bus-loss", "recovery")
async def test_worker_finds_queued_and_released_runs_without_an_offer(store: TortoiseStore) -> None:
    lost = _run("lost", "running", lease_until=1)
    for each in (_run("queued"), _run("released", "running", lease_until=RELEASED), _run("waiting", "waiting"), lost):
        await insert_record(store, each)
    executed: list[str] = []
    async with _open_worker(store, executed) as (worker, _):
        await QueuePoll(store, worker, CLOCK).once()
        await eventually(lambda: len(executed) == 2)
        assert set(executed) == {"queued", "released"}


async def test_backlog_counts_runs_that_no_worker_takes(store: TortoiseStore) -> None:
    assert await read_backlog(store, CLOCK, 1_000) is None
    now = CLOCK.now()
    await insert_record(store, _run("fresh", updated_at=now))
    await insert_record(store, _run("held", "running", lease_until=now + 60_000, updated_at=now - 60_000))
    assert await read_backlog(store, CLOCK, 1_000) is None
    await insert_record(store, _run("old", updated_at=now - 60_000))
    await insert_record(store, _run("lost", "running", lease_until=now - 2_000, updated_at=now - 30_000))
    backlog = await read_backlog(store, CLOCK, 1_000)
    assert backlog is not None
    assert (backlog.count, backlog.seconds >= 60) == (2, True)
