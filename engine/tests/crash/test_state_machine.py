"""Check the promises in random orders of messages, decisions, edits, stops, crashes, delays and tool failures.

The core, its graph and its store are real; the test controls the process, the tools and the model. In every order, each
transaction makes only transitions of the state diagrams, and nothing runs without an approval, or twice.
"""

import asyncio
import shutil
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import EngineError
from src.api.ports import RunChanged
from src.api.schemas.agent import ReconcileRequest
from src.api.schemas.records import Approval, Call, Execution, Run
from src.api.services.access import Caller
from src.api.services.limits import Limits
from tests.support.checked_store import CheckedStore, KillableStore, KillableToolServer, ProcessLife
from tests.support.core_harness import ADA, BOB, CoreHarness, FakeToolServer, add_team_members, open_core_harness
from tests.support.waiting import PATIENCE, eventually, spend_time

LIMITS = Limits(settle_timeout=0)
LEASE = 15
BUSY = ("queued", "running")
PAUSES = st.sampled_from([0.0, 0.003, 0.03])
PICKS = st.integers(min_value=0, max_value=50)
HOWS = st.sampled_from(["ok", "refuse", "lose", "drop", "hang", "work"])
TEXTS = st.sampled_from(["change x", "change x y", "change x y z", "look", "hello"])


class CrashableCore:
    """A core on one database and one tool server, in a simulated process that can die and be replaced."""

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
        async with open_store(url, clock=lambda: self.now, on_commit=self._committed) as store:
            await add_team_members(store, BOB)
            self.store = CheckedStore(store)
            self.tools = FakeToolServer(store)
            ready.set_result(None)
            await self._closing.wait()

    def _committed(self, changes: Sequence[RunChanged]) -> None:
        for change in changes:
            self.bus.notify(change)

    async def start(self) -> None:
        """Start a new process."""
        ready: asyncio.Future[CoreHarness] = asyncio.get_running_loop().create_future()
        self._life = ProcessLife()
        self._process = asyncio.create_task(self._live(self._life, ready))
        self.harness = await ready

    async def _live(self, life: ProcessLife, ready: "asyncio.Future[CoreHarness]") -> None:
        store, tools = KillableStore(self.store, life), KillableToolServer(self.tools, life)
        async with open_core_harness(store, self.bus, self.clock, tools, limits=LIMITS, lease=LEASE) as harness:
            ready.set_result(harness)
            await asyncio.Event().wait()

    async def die(self, *, acted: bool) -> None:
        """Kill the process. Calls in transit are executed if `acted`, otherwise lost."""
        self._life.over = True
        self.tools.loses_pending = not acted
        await self.release()
        self.tools.loses_pending = False
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
        """Let time pass until every run rests, except those that wait for the tools."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        looks = 0
        while len(busy := await self._busy()) > self.tools.hanging:
            assert asyncio.get_running_loop().time() < deadline, f"no rest for {busy}"
            looks += 1
            if looks % 50 == 0:
                self.now += LEASE * 1000
                await self.harness.core.sweep.once()
            await spend_time(0.004)

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
    """Actions of people and faults, in any order. `pause` is the time that the engine gets after an action."""

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
        self.core: CrashableCore = self.run(self._open_core(database))

    async def _open_core(self, database: Path) -> CrashableCore:
        core = CrashableCore(database)
        await core.open()
        return core

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def do(self, work: Coroutine[Any, Any, Any], pause: float) -> bool:
        """Run an action and return whether the engine accepted it. A rejection is valid too."""

        async def go() -> bool:
            taken = True
            try:
                await work
            except EngineError as error:
                if error.status not in (404, 409, 422):
                    raise
                taken = False
            await spend_time(pause)
            return taken

        return bool(self.run(go()))

    @rule(text=TEXTS, pick=PICKS, on_busy=st.sampled_from(["refuse", "enqueue", "interrupt"]), pause=PAUSES)
    def chat(self, text: str, pick: int, on_busy: str, pause: float) -> None:
        conversations = sorted({run.conversation_id for run in self.run(self.core.runs())})
        known = (
            conversations[pick % len(conversations)] if conversations and (pick % 3 or len(conversations) > 2) else None
        )
        self.do(self.core.harness.chat(text, known, on_busy=on_busy), pause)

    @rule(text=TEXTS, hows=st.lists(HOWS, max_size=3), settled=st.booleans())
    def change(self, text: str, hows: list[str], settled: bool) -> None:
        """Request, preview and approve a change. Random steps alone would rarely get this far."""
        self.do(self.core.harness.chat(text), 0)
        self.rest()
        self.core.tools.next = list(hows)
        for approval in self.run(self.core.approvals()):
            if approval.status == "pending" and self.do(self.core.harness.decide(approval.id), 0):
                assert self.decided.setdefault(approval.id, (ADA.id, True)) == (ADA.id, True), "decided twice"
        if settled:
            self.rest()

    @rule(pick=PICKS, approve=st.booleans(), who=st.sampled_from([ADA, BOB]), named=st.booleans(), pause=PAUSES)
    def decide(self, pick: int, approve: bool, who: Caller, named: bool, pause: float) -> None:
        approvals = self.run(self.core.approvals())
        if not approvals:
            return
        call_id = approvals[pick % len(approvals)].id
        despite = [approval.id for approval in approvals] if named else []
        work = self.core.harness.decide(call_id, approve=approve, caller=who, despite_unknown=despite[:20])
        if self.do(work, pause):
            assert self.decided.setdefault(call_id, (who.id, approve)) == (who.id, approve), "decided twice"

    @rule(pick=PICKS, pause=PAUSES)
    def edit(self, pick: int, pause: float) -> None:
        approvals = self.run(self.core.approvals())
        if approvals:
            call_id = approvals[pick % len(approvals)].id
            self.do(self.core.harness.decide(call_id, args={"name": "edited", "value": "other"}), pause)

    @rule(pick=PICKS, pause=PAUSES)
    def stop(self, pick: int, pause: float) -> None:
        runs = self.run(self.core.runs())
        if runs:
            run = runs[pick % len(runs)]
            self.do(self.core.harness.core.runs.stop(ADA, run.conversation_id, run.id), pause)

    @rule(pick=PICKS, outcome=st.sampled_from([None, "applied", "not_applied"]), pause=PAUSES)
    def verify(self, pick: int, outcome: Any, pause: float) -> None:
        executions = self.run(self.core.executions())
        if executions:
            call_id = sorted(execution.id for execution in executions)[pick % len(executions)]
            self.do(self.core.harness.core.verification.verify(ADA, call_id, ReconcileRequest(outcome=outcome)), pause)

    @rule(how=HOWS)
    def expect(self, how: str) -> None:
        self.core.tools.next.append(how)

    @rule(pause=PAUSES)
    def release(self, pause: float) -> None:
        self.do(self.core.release(), pause)

    @rule(seconds=st.sampled_from([1, LEASE + 1, 301, 1801]), pause=PAUSES)
    def wait(self, seconds: int, pause: float) -> None:
        self.core.now += seconds * 1000
        self.do(self.core.harness.core.sweep.once(), pause)

    @rule(acted=st.booleans(), pause=PAUSES)
    def die(self, acted: bool, pause: float) -> None:
        self.do(self.core.die(acted=acted), 0)
        self.do(self.core.start(), pause)

    @rule()
    def rest(self) -> None:
        self.run(self.core.rest())

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.core.store.violations == []
        assert self.core.tools.violations == []
        assert max(self.core.tools.effects.values(), default=0) <= 1

    def teardown(self) -> None:
        try:
            self.run(self._end())
            self.nothing_is_wrong()
        finally:
            self.run(self.core.close())
            self.runner.close()

    async def _end(self) -> None:
        """Bring everything to rest and check that the record matches each effect."""
        self.core.tools.next.clear()  # otherwise calls that begin from here on would hang without a later release
        await self.core.release()
        await self.core.rest()
        effects = self.core.tools.effects
        executions = {execution.id: execution for execution in await self.core.executions()}
        for execution in executions.values():
            settled_by_hand = execution.code == "settled"
            assert execution.state != "started", execution
            if execution.state in ("succeeded", "failed", "not_applied") and not settled_by_hand:
                assert effects[execution.id] == (execution.state == "succeeded"), execution
        approvals = await self.core.approvals()
        over = {run.id for run in await self.core.runs() if run.ended_at is not None}
        left = [each for each in approvals if each.run_id in over and each.status in ("pending", "approved")]
        assert not left, f"{left} outlived their runs"
        approved = {approval.id for approval in approvals if approval.status == "consumed"}
        for call in await self.core.calls():
            if call.id in executions and executions[call.id].state != "succeeded":
                later = [each for each in await self.core.calls() if _follows(each, call) and each.id in executions]
                assert not later, f"{later} began although {call} had not succeeded"
        assert set(effects) <= approved & {call for call, (_, yes) in self.decided.items() if yes}


@pytest.mark.promise("once", "no-approval-no-effect", "one-decision", "recovery", "stop", "unknown", "one-run")
@pytest.mark.timeout(600)
def test_promises_hold_in_any_order_of_events(migrated_sqlite: Path, tmp_path: Path) -> None:
    class Here(Machine):
        template = migrated_sqlite
        folder = tmp_path

    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    bounds = settings(max_examples=50, stateful_step_count=20, suppress_health_check=checks)
    run_state_machine_as_test(Here, settings=bounds)
