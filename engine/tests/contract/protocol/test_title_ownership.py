"""Titles of runs that were taken over or stopped, and the limit on concurrent title requests."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore
from src.api.ports import Finished, ModelChunk, ModelRequest, TextDelta, Usage
from src.api.schemas.records import Conversation, DeferredEvent, ModelCall, Run
from src.api.services.background import BackgroundTasks
from src.api.services.lease import Lease
from src.api.services.runs.titles import MAX_CONCURRENT, TitleGenerator, TitleModel
from src.api.services.streaming.watcher import RunWatcher
from tests.support.core_harness import CoreHarness, FakeModel, FakeToolServer, open_core_harness
from tests.support.store_writes import change_row
from tests.support.waiting import eventually

CLOCK = SystemClock()
QUESTION = "hello there"
ON_SQLITE = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For tests that run no SQL of their own."""


class HeldModel(FakeModel):
    """Answers every title request alike, once `let` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.let = asyncio.Event()
        self.open = 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        self.requests.append(request)
        self.open += 1
        try:
            await self.let.wait()
            yield TextDelta("A greeting")
            yield Finished("stop", Usage(7, 2))
        finally:
            self.open -= 1


@dataclass
class TitleScenario:
    """A claimed run that does not proceed, with everything that titles need."""

    store: TortoiseStore
    run: Run
    watcher: RunWatcher
    harness: CoreHarness
    model: HeldModel = field(default_factory=HeldModel)

    def titles(self, tasks: BackgroundTasks, **more: Any) -> TitleGenerator:
        async def load() -> HeldModel:
            return self.model

        return TitleGenerator(self.harness.core.dependencies, self.watcher, tasks, TitleModel("small", load), **more)

    def lease(self) -> Lease:
        return Lease(self.run, CLOCK, 15, CLOCK.monotonic())

    async def wait_for_requests(self, times: int = 1) -> None:
        await eventually(lambda: self.model.open == times, what=f"{times} requests")

    async def wait_for_request_end(self) -> None:
        await eventually(lambda: self.model.open == 0, what="the end of the request")

    async def title(self) -> str | None:
        key = self.run.conversation_id
        found = await self.store.read(lambda reader: reader.get(Conversation, id=key))
        assert found is not None
        return found.title

    async def read_written(self) -> list[object]:
        of = {"run_id": self.run.id}
        events = await self.store.read(lambda reader: reader.find(DeferredEvent, of))
        return [*events, *await self.store.read(lambda reader: reader.find(ModelCall, of))]


@pytest.fixture
async def scenario(store: TortoiseStore) -> AsyncIterator[TitleScenario]:
    async with (
        open_core_harness(store, LocalBus(CLOCK), CLOCK, FakeToolServer(store)) as harness,
        RunWatcher(store, LocalBus(CLOCK), CLOCK) as watcher,
    ):
        harness.gate.clear()
        started = await harness.chat(QUESTION)
        yield TitleScenario(store, await harness.until(started.run_id, "running"), watcher, harness)


async def test_title_is_stored_and_deferred_to_boundary(scenario: TitleScenario) -> None:
    async with BackgroundTasks(1) as tasks:
        titles, lease = scenario.titles(tasks), scenario.lease()
        for _ in range(3):
            titles.start(lease)
        await scenario.wait_for_requests()
        scenario.model.let.set()
        await eventually(lambda: not _title_task_runs())
    assert await scenario.title() == "A greeting"
    # The title, and what its model call used.
    assert [type(each) for each in await scenario.read_written()] == [DeferredEvent, DeferredEvent, ModelCall]
    assert len(scenario.model.requests) == 1


@pytest.mark.promise("one-owner", "stop")
@pytest.mark.parametrize("meanwhile", [{"fence": 2}, {"stop_at": 1}], ids=["another's", "stopped"])
@pytest.mark.parametrize("at_once", [True, False], ids=["answered at once", "not answered"])
async def test_lost_or_stopped_run_writes_no_title(
    scenario: TitleScenario, meanwhile: dict[str, int], at_once: bool
) -> None:
    """Whether the loss or the model's answer comes first."""
    async with BackgroundTasks(1) as tasks:
        scenario.titles(tasks).start(scenario.lease())
        await scenario.wait_for_requests()
        await change_row(scenario.store, Run, {"id": scenario.run.id}, **meanwhile)
        if at_once:
            scenario.model.let.set()
        await eventually(lambda: not _title_task_runs())
    assert scenario.model.open == 0
    assert await scenario.title() == QUESTION
    assert await scenario.read_written() == []


@ON_SQLITE
async def test_later_turn_requests_no_title(scenario: TitleScenario) -> None:
    await change_row(scenario.store, Run, {"id": scenario.run.id}, turn=1)
    scenario.run = await scenario.harness.run(scenario.run.id)
    async with BackgroundTasks(1) as tasks:
        scenario.titles(tasks).start(scenario.lease())
        assert not _title_task_runs()


@pytest.mark.promise("bounded")
async def test_concurrent_title_requests_are_limited(scenario: TitleScenario, caplog: pytest.LogCaptureFixture) -> None:
    async with BackgroundTasks(1) as tasks:
        titles = scenario.titles(tasks)
        with caplog.at_level(logging.WARNING):
            for _ in range(MAX_CONCURRENT + 2):
                titles.start(scenario.lease())
        await scenario.wait_for_requests(MAX_CONCURRENT)
        assert [each.__dict__["action"] for each in caplog.records] == ["title.skipped"] * 2
        scenario.model.let.set()
        await eventually(lambda: not _title_task_runs())
        titles.start(scenario.lease())
        assert _title_task_runs()
    assert await scenario.title() == "A greeting"


@pytest.mark.promise("bounded")
async def test_title_request_times_out(scenario: TitleScenario, caplog: pytest.LogCaptureFixture) -> None:
    async with BackgroundTasks(1) as tasks:
        with caplog.at_level(logging.WARNING):
            scenario.titles(tasks, timeout=0.05).start(scenario.lease())
            await eventually(lambda: bool(caplog.records))
        assert [(each.__dict__["action"], each.__dict__["code"]) for each in caplog.records] == [
            ("title.failed", "model_timeout")
        ]
        await scenario.wait_for_request_end()
    assert await scenario.title() == QUESTION


@ON_SQLITE
async def test_shutdown_cancels_title_request(scenario: TitleScenario) -> None:
    async with BackgroundTasks(1) as tasks:
        scenario.titles(tasks).start(scenario.lease())
        await scenario.wait_for_requests()
    assert scenario.model.open == 0
    assert await scenario.title() == QUESTION


def _title_task_runs() -> bool:
    return any(task.get_name().startswith("title ") for task in asyncio.all_tasks())
