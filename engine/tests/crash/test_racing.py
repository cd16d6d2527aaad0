"""Test concurrent decisions: one wins, the others learn who decided and when, and each change runs once."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import AlreadyDecided
from src.api.schemas.agent import StreamStart
from src.api.services.access import Caller, Role
from src.api.services.limits import Limits
from tests.support.core_harness import CoreHarness, FakeToolServer, add_team_members, open_core_harness
from tests.support.counting_store import CountingStore
from tests.support.pooled_process import PooledPopen
from tests.support.services import PROJECT
from tests.support.waiting import PATIENCE

RACERS = ("ada", "bob", "eve", "ida")
CALLS_PER_RUN = 25
UNHURRIED = Limits()


@asynccontextmanager
async def harness(url: str) -> AsyncIterator[tuple[CoreHarness, FakeToolServer]]:
    clock = SystemClock()
    async with open_store(url) as store:
        tools = FakeToolServer(store)
        async with open_core_harness(store, LocalBus(clock), clock, tools, limits=UNHURRIED) as opened:
            yield opened, tools
        assert tools.violations == []


@pytest.mark.promise("one-decision", "once")
async def test_one_of_fifty_concurrent_decisions_wins(store_url: str) -> None:
    people = [Caller(f"person-{n}", Role.APPROVER, f"Person {n}") for n in range(50)]
    async with harness(store_url) as (opened, tools):
        await add_team_members(opened.store, *people)
        run_id, [call_id] = await opened.chat_until_rest("change x")
        votes = [opened.decide(call_id, approve=n % 2 == 0, caller=person) for n, person in enumerate(people)]
        answers = await asyncio.gather(*votes, return_exceptions=True)
        [winner] = [person for person, answer in zip(people, answers, strict=True) if isinstance(answer, StreamStart)]
        await opened.until(run_id, "completed")
        approval = await opened.approval(call_id)
        assert approval.decided_by == winner.id
        approved = people.index(winner) % 2 == 0
        assert (approval.status, tools.effects[call_id]) == (("consumed", 1) if approved else ("denied", 0))
        for answer in answers:
            if isinstance(answer, AlreadyDecided):
                assert answer.extra["decided_by"] == winner.id
                assert answer.extra["decided_at"] == approval.decided_at
                assert answer.extra["decision"] == ("approved" if approved else "denied")
            else:
                assert isinstance(answer, StreamStart), answer


@pytest.mark.promise("one-decision")
async def test_repeated_decision_of_the_same_person_is_accepted(store_url: str) -> None:
    async with harness(store_url) as (opened, tools):
        run_id, [call_id] = await opened.chat_until_rest("change x")
        answers = await asyncio.gather(*(opened.decide(call_id) for _ in range(20)))
        assert answers == [answers[0]] * 20, "each is led to the same event"
        await opened.until(run_id, "completed")
        assert await opened.decide(call_id) == answers[0]
        assert tools.effects == {call_id: 1}


class Racer(PooledPopen):
    def send(self, line: str) -> None:
        assert self.stdin is not None
        self.stdin.write(line + "\n")
        self.stdin.flush()

    def read_line(self) -> str:
        assert self.stdout is not None
        return str(self.stdout.readline()).strip()


@contextmanager
def racers(url: str, folder: Path) -> Iterator[dict[str, Racer]]:
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "engine")}
    with ExitStack() as stack:
        started: dict[str, Racer] = {}
        for name in RACERS:
            command = [sys.executable, "-m", "tests.support.racer", url, str(folder), name]
            pipe = subprocess.PIPE
            racer = stack.enter_context(Racer(command, env=environment, stdin=pipe, stdout=pipe, text=True))
            stack.callback(racer.kill)
            started[name] = racer
        assert [racer.read_line() for racer in started.values()] == ["ready"] * len(RACERS)
        yield started


async def _pending(url: str, calls: int) -> tuple[list[str], list[str]]:
    """Create runs that wait for decisions on `calls` calls. Returns their ids and the calls' ids."""
    runs, asked = [], []
    async with harness(url) as (opened, _):
        await add_team_members(opened.store, *(Caller(name, Role.APPROVER, name) for name in RACERS))
        for n in range(calls // CALLS_PER_RUN):
            words = " ".join(f"thing-{n}-{k}" for k in range(CALLS_PER_RUN))
            run_id, ids = await opened.chat_until_rest(f"change {words}")
            runs.append(run_id)
            asked += ids
    return runs, asked


async def _settled(url: str, runs: list[str], calls: list[str]) -> dict[str, Any]:
    """Wait until every run has ended and return the approvals."""
    async with harness(url) as (opened, _):
        for run_id in runs:
            await opened.until(run_id, "completed")
        return {call_id: await opened.approval(call_id) for call_id in calls}


@pytest.mark.promise("one-decision", "once")
@pytest.mark.parametrize(("database", "calls"), [("postgres", 200), ("sqlite", 50)])
def test_racing_processes_run_each_change_once(
    request: pytest.FixtureRequest, database: str, calls: int, tmp_path: Path
) -> None:
    url = str(request.getfixturevalue(f"{database}_store_url"))
    runs, asked = asyncio.run(_pending(url, calls))
    assert len(asked) == calls
    with racers(url, tmp_path / "effects") as started:
        for at, racer in enumerate(started.values()):
            racer.send(json.dumps({call_id: (n + at) % 2 == 0 for n, call_id in enumerate(asked)}))
        answers = {name: json.loads(racer.read_line()) for name, racer in started.items()}
        approvals = asyncio.run(_settled(url, runs, asked))
        for racer in started.values():
            racer.send("end")
            assert racer.wait(timeout=PATIENCE) == 0
    counting = CountingStore(tmp_path / "effects")
    effects = Counter(effect.approval for effect in counting.effects())
    counting.close()
    for call_id, approval in approvals.items():
        [winner] = [name for name in RACERS if answers[name][call_id] == "won"]
        assert approval.decided_by == winner
        losers = [answers[name][call_id] for name in RACERS if name != winner]
        decision = "denied" if approval.status == "denied" else "approved"
        said = {"decided_by": winner, "decided_at": approval.decided_at, "decision": decision}
        assert losers == [said] * (len(RACERS) - 1)
        assert effects[call_id] == (approval.status == "consumed"), approval
        assert approval.status in ("consumed", "denied"), approval
    # SQLite's lock is not fair: on a busy machine one process may get it for all of its requests.
    raced = len({approval.decided_by for approval in approvals.values()}) > 1
    assert raced or database == "sqlite", "nobody raced"
