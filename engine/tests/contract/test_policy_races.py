"""The policy changes under a run's hands: at its decisions, and as its changes start."""

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import pytest

from src.api.errors import AlreadyDecided, NotDecidable
from src.api.schemas.records import Approval, Execution, JournalEvent, Run
from src.api.services.policing import BY_POLICY
from src.api.utils.shown import shown_object
from tests.support.office import Office, office
from tests.support.workshop import BOB

pytestmark = pytest.mark.promise("policy", "no-approval-no-effect", "once")

FREE = "rules: [{name: free, decision: allow, tools: change}]"
NEVER = "rules: [{name: never, decision: deny, tools: change}]"
TWO = "rules: [{name: two, decision: two_people}]"
BAD = "rules: ["
CONVERSATIONS = 12


async def swaps(at: Office, stop: asyncio.Event) -> None:
    for policy in itertools.cycle((FREE, TWO, NEVER, BAD, "rules: []")):
        if stop.is_set():
            return
        await asyncio.to_thread(at.write, policy)
        await at.bench.store.read(lambda reader: reader.find(Run, {}, limit=1))


async def decides(at: Office, run_id: str) -> None:
    """Two people say yes to whatever waits, until the run has ended."""
    while (await at.bench.until(run_id)).state == "awaiting_approval":
        for approval in await at.approvals(run_id):
            if approval.status == "pending":
                await asyncio.gather(*(_yes(at, approval, caller) for caller in (None, BOB)))
        await asyncio.sleep(0)


async def _yes(at: Office, approval: Approval, caller: object) -> None:
    who = {} if caller is None else {"caller": BOB}
    try:
        await at.bench.decide(approval.id, **who)
    except (AlreadyDecided, NotDecidable):
        return


async def test_policies_that_change_all_the_time_let_nothing_through_twice_or_unasked(
    store_url: str, tmp_path: Path
) -> None:
    async with office(store_url, tmp_path, FREE, BOB) as at:
        stop = asyncio.Event()
        swapping = asyncio.create_task(swaps(at, stop))
        started = [await at.bench.chat(f"change dev.a{n} dev.b{n}") for n in range(CONVERSATIONS)]
        await asyncio.gather(*(decides(at, each.run_id) for each in started))
        stop.set()
        await swapping
        for each in started:
            assert (await at.bench.run(each.run_id)).state == "completed"
            await _check(at, each.run_id)
        assert max(at.tools.effects.values(), default=0) <= 1


async def _check(at: Office, run_id: str) -> None:
    """What ran was allowed by the rule that allows, or approved by as many people as it asked; no denied call ran."""
    store = at.bench.store
    ran = {each.id for each in await store.read(lambda reader: reader.find(Execution, {"run_id": run_id}))}
    events = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": run_id}, "n"))
    told = [(event.type, str(shown_object(event.body).get("call_id"))) for event in events]
    denied = {call for kind, call in told if kind == "tool.denied"}
    votes = Counter(call for kind, call in told if kind in ("tool.vote", "tool.approved"))
    approvals = {each.id: each for each in await at.approvals(run_id)}
    assert set(at.tools.effects) & approvals.keys() == ran
    assert not ran & denied
    for call_id in ran:
        approval = approvals[call_id]
        assert approval.status == "consumed"
        if (approval.decided_by or "").startswith(BY_POLICY):
            assert approval.decided_by == "policy:free"
        else:
            assert votes[call_id] >= approval.votes


async def test_a_denial_written_before_the_start_is_heeded_however_the_change_was_decided(
    store_url: str, tmp_path: Path
) -> None:
    async with office(store_url, tmp_path, FREE) as at:
        at.bench.gate.clear()
        started = [await at.bench.chat(f"change dev.x{n}") for n in range(4)]
        at.write(NEVER)
        at.bench.gate.set()
        for each in started:
            await at.bench.until(each.run_id, "completed")
        assert at.tools.effects.total() == 0
