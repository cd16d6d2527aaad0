"""Titles of runs that are another's by now, are stopped, or of which there are too many at once."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import TortoiseStore
from src.api.ports import Finished, ModelChunk, ModelRequest, TextDelta, Usage
from src.api.schemas.records import Conversation, DeferredEvent, ModelCall, Run
from src.api.services.leases import Lease
from src.api.services.pulse import Pulse
from src.api.services.tasks import Tasks
from src.api.services.titles import MOST, TitleModel, Titles
from src.api.utils.clock import SystemClock
from tests.support.waiting import eventually
from tests.support.workshop import Bench, PlannedModel, Toolbox, open_bench
from tests.support.writing import change

CLOCK = SystemClock()
ASKED = "hello there"


class HeldModel(PlannedModel):
    """Names everything alike, once it is let."""

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
class Scene:
    """A run that is claimed and goes no further, and who names its conversation."""

    store: TortoiseStore
    run: Run
    pulse: Pulse
    bench: Bench
    model: HeldModel = field(default_factory=HeldModel)

    def titles(self, tasks: Tasks, **more: Any) -> Titles:
        async def load() -> HeldModel:
            return self.model

        return Titles(self.bench.core.office, self.pulse, tasks, TitleModel("small", load), **more)

    def lease(self) -> Lease:
        return Lease(self.run, CLOCK, 15, CLOCK.boot())

    async def asked(self, times: int = 1) -> None:
        await eventually(lambda: self.model.open == times, what=f"{times} requests")

    async def over(self) -> None:
        await eventually(lambda: self.model.open == 0, what="the end of the request")

    async def title(self) -> str | None:
        key = self.run.conversation_id
        found = await self.store.read(lambda reader: reader.get(Conversation, id=key))
        assert found is not None
        return found.title

    async def written(self) -> list[object]:
        of = {"run_id": self.run.id}
        events = await self.store.read(lambda reader: reader.find(DeferredEvent, of))
        return [*events, *await self.store.read(lambda reader: reader.find(ModelCall, of))]


@pytest.fixture
async def scene(store: TortoiseStore) -> AsyncIterator[Scene]:
    async with (
        open_bench(store, LocalBus(CLOCK), CLOCK, Toolbox(store)) as bench,
        Pulse(store, LocalBus(CLOCK), CLOCK) as pulse,
    ):
        bench.gate.clear()
        started = await bench.chat(ASKED)
        yield Scene(store, await bench.until(started.run_id, "running"), pulse, bench)


async def test_it_is_set_and_waits_for_a_border(scene: Scene) -> None:
    async with Tasks(1) as tasks:
        titles, lease = scene.titles(tasks), scene.lease()
        for _ in range(3):
            titles.begin(lease)
        await scene.asked()
        scene.model.let.set()
        await eventually(lambda: not _naming())
    assert await scene.title() == "A greeting"
    assert [type(each) for each in await scene.written()] == [DeferredEvent, ModelCall]
    assert len(scene.model.requests) == 1


@pytest.mark.promise("one-owner", "stop")
@pytest.mark.parametrize("meanwhile", [{"fence": 2}, {"stop_at": 1}], ids=["another's", "stopped"])
@pytest.mark.parametrize("at_once", [True, False], ids=["answered at once", "not answered"])
async def test_who_has_lost_the_run_writes_nothing(scene: Scene, meanwhile: dict[str, int], at_once: bool) -> None:
    """Whether it hears of it first, or the model answers first."""
    async with Tasks(1) as tasks:
        scene.titles(tasks).begin(scene.lease())
        await scene.asked()
        await change(scene.store, Run, {"id": scene.run.id}, **meanwhile)
        if at_once:
            scene.model.let.set()
        await eventually(lambda: not _naming())
    assert scene.model.open == 0
    assert await scene.title() == ASKED
    assert await scene.written() == []


async def test_a_later_turn_names_nothing(scene: Scene) -> None:
    await change(scene.store, Run, {"id": scene.run.id}, turn=1)
    scene.run = await scene.bench.run(scene.run.id)
    async with Tasks(1) as tasks:
        scene.titles(tasks).begin(scene.lease())
        assert not _naming()


@pytest.mark.promise("bounded")
async def test_so_many_at_once_and_no_more(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with Tasks(1) as tasks:
        titles = scene.titles(tasks)
        with caplog.at_level(logging.WARNING):
            for _ in range(MOST + 2):
                titles.begin(scene.lease())
        await scene.asked(MOST)
        assert [each.__dict__["action"] for each in caplog.records] == ["title.skipped"] * 2
        scene.model.let.set()
        await eventually(lambda: not _naming())
        titles.begin(scene.lease())
        assert _naming()
    assert await scene.title() == "A greeting"


@pytest.mark.promise("bounded")
async def test_an_answer_that_does_not_come_is_given_up(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    async with Tasks(1) as tasks:
        with caplog.at_level(logging.WARNING):
            scene.titles(tasks, within=0.05).begin(scene.lease())
            await eventually(lambda: bool(caplog.records))
        assert [(each.__dict__["action"], each.__dict__["code"]) for each in caplog.records] == [
            ("title.failed", "model_timeout")
        ]
        await scene.over()
    assert await scene.title() == ASKED


async def test_the_end_of_the_process_ends_it(scene: Scene) -> None:
    async with Tasks(1) as tasks:
        scene.titles(tasks).begin(scene.lease())
        await scene.asked()
    assert scene.model.open == 0
    assert await scene.title() == ASKED


def _naming() -> bool:
    return any(task.get_name().startswith("title ") for task in asyncio.all_tasks())
