"""What an owner hears of its change when it has lost its run: the truth, which is recorded, and nothing else is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.schemas.records import Execution, JournalEvent
from src.api.utils.clock import SystemClock
from tests.support.waiting import eventually
from tests.support.workshop import Bench, Toolbox, open_bench

LEASE = 15


class Two:
    """Two cores on one database, and its clock in the test's hands."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.tools: Toolbox
        self.first: Bench
        self.second: Bench

    async def hand_over(self) -> None:
        """The first one's lease runs out, and the second one takes the run."""
        self.now += LEASE * 1000 + 1
        await self.second.core.sweep.once()

    async def execution(self, call_id: str) -> Execution:
        found = await self.second.store.read(lambda reader: reader.get(Execution, id=call_id))
        assert found is not None
        return found


@asynccontextmanager
async def two(url: str) -> AsyncIterator[Two]:
    pair, clock = Two(), SystemClock()
    async with open_store(url, clock=lambda: pair.now) as store:
        pair.tools = Toolbox(store)
        async with (
            open_bench(store, LocalBus(clock), clock, pair.tools, lease=LEASE) as pair.first,
            open_bench(store, LocalBus(clock), clock, pair.tools, lease=LEASE) as pair.second,
        ):
            yield pair
        assert pair.tools.wrong == []


@pytest.mark.promise("unknown", "one-owner", "once")
async def test_the_true_end_of_a_change_is_recorded_by_whoever_made_it(store_url: str) -> None:
    async with two(store_url) as pair:
        run_id, [first, second] = await pair.first.asked("change x y")
        pair.tools.next = ["work"]
        await pair.first.decide(second)
        await pair.first.decide(first)
        await eventually(lambda: pair.tools.hanging == 1)
        await pair.hand_over()
        await pair.second.until(run_id, "completed")
        assert (await pair.execution(first)).state == "unknown"
        assert (await pair.second.approval(second)).status == "superseded", "unknown settles nothing for what follows"
        pair.tools.released.set()

        async def known() -> bool:
            return (await pair.execution(first)).state == "succeeded"

        await eventually(known)
        assert pair.tools.effects == {first: 1}
        events = await pair.second.store.read(lambda reader: reader.find(JournalEvent, {"run_id": run_id}, "n"))
        told = [event.type for event in events if event.type in ("tool.unknown", "tool.result")]
        assert told == ["tool.unknown", "tool.result"]
        assert len({event.n for event in events}) == len(events)


@pytest.mark.promise("unknown", "one-owner", "once")
async def test_what_never_ran_stays_so_when_its_sender_comes_late(store_url: str) -> None:
    async with two(store_url) as pair:
        run_id, [call_id] = await pair.first.asked("change x")
        pair.tools.next = ["hang"]
        await pair.first.decide(call_id)
        await eventually(lambda: pair.tools.hanging == 1)
        await pair.hand_over()
        await pair.second.until(run_id, "completed")
        settled = await pair.execution(call_id)
        assert (settled.state, settled.code) == ("failed", "never_ran")
        pair.tools.released.set()
        await eventually(lambda: pair.tools.hanging == 0)
    assert pair.tools.effects == {}
    async with open_store(store_url) as store:
        assert await store.read(lambda reader: reader.get(Execution, id=call_id)) == settled
