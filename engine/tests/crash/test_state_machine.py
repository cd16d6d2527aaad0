"""Anything may follow anything: messages, decisions, edits, Stop, deaths, time passing, tools that fail in every way.

The core, its graph and its store are real; the process, the tools and the model are in the test's hands. Whatever the
order, each transaction takes only steps that are drawn, and nothing runs without an approval, or twice.
"""

import asyncio
import shutil
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import EngineError
from src.api.schemas.agent import SettleRequest
from src.api.schemas.records import Approval, Call, Execution, Run
from src.api.services.access import Caller
from src.api.services.settings import Limits
from src.api.utils.clock import SystemClock
from tests.support.waiting import PATIENCE, dawdle, eventually
from tests.support.watched import Life, MortalStore, MortalTools, Watched
from tests.support.workshop import ADA, BOB, Bench, Toolbox, enrol, open_bench

LIMITS = Limits(settle_within=0)
LEASE = 15
BUSY = ("queued", "running")
PAUSES = st.sampled_from([0.0, 0.003, 0.03])
PICKS = st.integers(min_value=0, max_value=50)
HOWS = st.sampled_from(["ok", "refuse", "lose", "drop", "hang", "work"])
TEXTS = st.sampled_from(["change x", "change x y", "change x y z", "look", "hello"])


class World:
    """One database, one set of tools, and a process on them that can die and be followed by another."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._closing = asyncio.Event()
        self.now = 1_700_000_000_000
        self.clock = SystemClock()
        self.bus = LocalBus(self.clock)

    async def open(self) -> None:
        ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._store_task = asyncio.create_task(self._keep_store(ready))
        await ready
        await self.start()

    async def _keep_store(self, ready: "asyncio.Future[None]") -> None:
        url = f"sqlite://{self._database}"
        async with open_store(url, clock=lambda: self.now, committed=self._committed) as store:
            await enrol(store, BOB)
            self.store = Watched(store)
            self.tools = Toolbox(store)
            ready.set_result(None)
            await self._closing.wait()

    def _committed(self, runs: frozenset[str]) -> None:
        for run_id in runs:
            self.bus.ring(run_id)

    async def start(self) -> None:
        """A process comes up."""
        ready: asyncio.Future[Bench] = asyncio.get_running_loop().create_future()
        self._life = Life()
        self._process = asyncio.create_task(self._live(self._life, ready))
        self.bench = await ready

    async def _live(self, life: Life, ready: "asyncio.Future[Bench]") -> None:
        store, tools = MortalStore(self.store, life), MortalTools(self.tools, life)
        async with open_bench(store, self.bus, self.clock, tools, limits=LIMITS, lease=LEASE) as bench:
            ready.set_result(bench)
            await asyncio.Event().wait()

    async def die(self, *, acted: bool) -> None:
        """The process dies. What hangs at the tools gets done all the same, or never is."""
        self._life.over = True
        self.tools.forgetful = not acted
        await self.release()
        self.tools.forgetful = False
        self._process.cancel()
        await asyncio.wait([self._process])

    async def release(self) -> None:
        self.tools.released.set()
        await eventually(lambda: self.tools.hanging == 0)
        self.tools.released.clear()

    async def close(self) -> None:
        await self.die(acted=True)
        self._closing.set()
        await self._store_task

    async def rest(self) -> None:
        """Time passes until every run rests that does not wait for the tools."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        looks = 0
        while len(busy := await self._busy()) > self.tools.hanging:
            assert asyncio.get_running_loop().time() < deadline, f"no rest for {busy}"
            looks += 1
            if looks % 50 == 0:
                self.now += LEASE * 1000
                await self.bench.core.sweep.once()
            await dawdle(0.004)

    async def _busy(self) -> list[Run]:
        return await self.store.read(lambda reader: reader.find(Run, {"state": BUSY}))

    async def runs(self) -> list[Run]:
        return await self.store.read(lambda reader: reader.find(Run, {}, "created_at,id"))

    async def approvals(self) -> list[Approval]:
        return await self.store.read(lambda reader: reader.find(Approval, {}, "created_at,id"))

    async def calls(self) -> list[Call]:
        return await self.store.read(lambda reader: reader.find(Call, {}))

    async def executions(self) -> list[Execution]:
        return await self.store.read(lambda reader: reader.find(Execution, {}))


def _follows(later: Call, call: Call) -> bool:
    return (later.run_id, later.turn) == (call.run_id, call.turn) and later.position > call.position


class Machine(RuleBasedStateMachine):
    """What people and the world do, in any order. `pause` is how long the engine gets to work on it."""

    template: Path
    folder: Path

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        database = self.folder / "machine.sqlite3"
        for old in self.folder.glob("machine.sqlite3*"):
            old.unlink()
        shutil.copy(self.template, database)
        self.decided: dict[str, tuple[str, bool]] = {}
        self.world: World = self.run(self._world(database))

    async def _world(self, database: Path) -> World:
        world = World(database)
        await world.open()
        return world

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def do(self, work: Coroutine[Any, Any, Any], pause: float) -> bool:
        """Whether it was taken; a refusal is an answer too."""

        async def go() -> bool:
            taken = True
            try:
                await work
            except EngineError as error:
                if error.status not in (404, 409, 422):
                    raise
                taken = False
            await dawdle(pause)
            return taken

        return bool(self.run(go()))

    @rule(text=TEXTS, pick=PICKS, on_busy=st.sampled_from(["refuse", "enqueue", "interrupt"]), pause=PAUSES)
    def chat(self, text: str, pick: int, on_busy: str, pause: float) -> None:
        conversations = sorted({run.conversation_id for run in self.run(self.world.runs())})
        known = (
            conversations[pick % len(conversations)] if conversations and (pick % 3 or len(conversations) > 2) else None
        )
        self.do(self.world.bench.chat(text, known, on_busy=on_busy), pause)

    @rule(text=TEXTS, hows=st.lists(HOWS, max_size=3), settled=st.booleans())
    def change(self, text: str, hows: list[str], settled: bool) -> None:
        """The usual way: asked for, shown, approved. Chance alone would seldom come so far."""
        self.do(self.world.bench.chat(text), 0)
        self.rest()
        self.world.tools.next = list(hows)
        for approval in self.run(self.world.approvals()):
            if approval.status == "pending" and self.do(self.world.bench.decide(approval.id), 0):
                assert self.decided.setdefault(approval.id, (ADA.id, True)) == (ADA.id, True), "decided twice"
        if settled:
            self.rest()

    @rule(pick=PICKS, approve=st.booleans(), who=st.sampled_from([ADA, BOB]), named=st.booleans(), pause=PAUSES)
    def decide(self, pick: int, approve: bool, who: Caller, named: bool, pause: float) -> None:
        approvals = self.run(self.world.approvals())
        if not approvals:
            return
        call_id = approvals[pick % len(approvals)].id
        despite = [approval.id for approval in approvals] if named else []
        work = self.world.bench.decide(call_id, approve=approve, caller=who, despite_unknown=despite[:20])
        if self.do(work, pause):
            assert self.decided.setdefault(call_id, (who.id, approve)) == (who.id, approve), "decided twice"

    @rule(pick=PICKS, pause=PAUSES)
    def edit(self, pick: int, pause: float) -> None:
        approvals = self.run(self.world.approvals())
        if approvals:
            call_id = approvals[pick % len(approvals)].id
            self.do(self.world.bench.decide(call_id, args={"name": "edited", "value": "other"}), pause)

    @rule(pick=PICKS, pause=PAUSES)
    def stop(self, pick: int, pause: float) -> None:
        runs = self.run(self.world.runs())
        if runs:
            run = runs[pick % len(runs)]
            self.do(self.world.bench.core.runs.stop(ADA, run.conversation_id, run.id), pause)

    @rule(pick=PICKS, outcome=st.sampled_from([None, "applied", "not_applied"]), pause=PAUSES)
    def verify(self, pick: int, outcome: Any, pause: float) -> None:
        executions = self.run(self.world.executions())
        if executions:
            call_id = sorted(execution.id for execution in executions)[pick % len(executions)]
            self.do(self.world.bench.core.verification.verify(ADA, call_id, SettleRequest(outcome=outcome)), pause)

    @rule(how=HOWS)
    def expect(self, how: str) -> None:
        self.world.tools.next.append(how)

    @rule(pause=PAUSES)
    def release(self, pause: float) -> None:
        self.do(self.world.release(), pause)

    @rule(seconds=st.sampled_from([1, LEASE + 1, 301, 1801]), pause=PAUSES)
    def wait(self, seconds: int, pause: float) -> None:
        self.world.now += seconds * 1000
        self.do(self.world.bench.core.sweep.once(), pause)

    @rule(acted=st.booleans(), pause=PAUSES)
    def die(self, acted: bool, pause: float) -> None:
        self.do(self.world.die(acted=acted), 0)
        self.do(self.world.start(), pause)

    @rule()
    def rest(self) -> None:
        self.run(self.world.rest())

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.world.store.wrong == []
        assert self.world.tools.wrong == []
        assert max(self.world.tools.effects.values(), default=0) <= 1

    def teardown(self) -> None:
        try:
            self.run(self._end())
            self.nothing_is_wrong()
        finally:
            self.run(self.world.close())
            self.runner.close()

    async def _end(self) -> None:
        """Everything comes to rest, and the record says of each effect what it was."""
        self.world.tools.next.clear()  # what begins from here on would hang again, with nobody to release it
        await self.world.release()
        await self.world.rest()
        effects = self.world.tools.effects
        executions = {execution.id: execution for execution in await self.world.executions()}
        for execution in executions.values():
            settled_by_hand = execution.code == "settled"
            assert execution.state != "started", execution
            if execution.state in ("succeeded", "failed", "not_applied") and not settled_by_hand:
                assert effects[execution.id] == (execution.state == "succeeded"), execution
        approvals = await self.world.approvals()
        over = {run.id for run in await self.world.runs() if run.ended_at is not None}
        left = [each for each in approvals if each.run_id in over and each.status in ("pending", "approved")]
        assert not left, f"{left} outlived their runs"
        approved = {approval.id for approval in approvals if approval.status == "consumed"}
        for call in await self.world.calls():
            if call.id in executions and executions[call.id].state != "succeeded":
                later = [each for each in await self.world.calls() if _follows(each, call) and each.id in executions]
                assert not later, f"{later} began although {call} had not succeeded"
        assert set(effects) <= approved & {call for call, (_, yes) in self.decided.items() if yes}


@pytest.mark.promise("once", "no-approval-no-effect", "one-decision", "recovery", "stop", "unknown", "one-run")
@pytest.mark.timeout(600)
def test_no_order_of_events_breaks_a_promise(migrated_sqlite: Path, tmp_path: Path) -> None:
    class Here(Machine):
        template = migrated_sqlite
        folder = tmp_path

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    bounds = settings(max_examples=50, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(Here, settings=bounds)
