"""Test results that reach an engine after it lost its run: the true outcome is recorded, and nothing else changes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.schemas.records import Execution, JournalEvent
from tests.support.core_harness import CoreHarness, FakeToolServer, open_core_harness
from tests.support.waiting import eventually

LEASE = 15


class Two:
    """Two cores on one database, with its clock under the test's control."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000
        self.tools: FakeToolServer
        self.first: CoreHarness
        self.second: CoreHarness

    async def hand_over(self) -> None:
        """Let the first core's lease expire, so that the second core takes the run."""
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
        pair.tools = FakeToolServer(store)
        async with (
            open_core_harness(store, LocalBus(clock), clock, pair.tools, lease=LEASE) as pair.first,
            open_core_harness(store, LocalBus(clock), clock, pair.tools, lease=LEASE) as pair.second,
        ):
            yield pair
        assert pair.tools.violations == []


@pytest.mark.promise("unknown", "one-owner", "once")
async def test_late_result_of_the_former_owner_is_recorded(store_url: str) -> None:
    async with two(store_url) as pair:
        run_id, [first, second] = await pair.first.chat_until_rest("change x y")
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
async def test_late_sender_can_not_run_a_change_settled_as_never_run(store_url: str) -> None:
    async with two(store_url) as pair:
        run_id, [call_id] = await pair.first.chat_until_rest("change x")
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
