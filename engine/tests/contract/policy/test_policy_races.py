"""The policy changes during runs: at their decisions, and as their changes start."""

import asyncio
import itertools
from collections import Counter
from pathlib import Path

import pytest

from src.api.errors import AlreadyDecided, NotDecidable
from src.api.schemas.records import Approval, Execution, JournalEvent, Run
from src.api.utils.json_columns import load_object
from tests.support.core_harness import BOB
from tests.support.policy_harness import PolicyHarness, open_policy_harness

pytestmark = pytest.mark.promise("policy", "no-approval-no-effect", "once")

FREE = "rules: [{name: free, decision: allow, tools: change}]"
NEVER = "rules: [{name: never, decision: deny, tools: change}]"
TWO = "rules: [{name: two, decision: two_people}]"
BAD = "rules: ["
CONVERSATIONS = 12


async def swap_policies(at: PolicyHarness, stop: asyncio.Event) -> None:
    for policy in itertools.cycle((FREE, TWO, NEVER, BAD, "rules: []")):
        if stop.is_set():
            return
        await asyncio.to_thread(at.write, policy)
        await at.core_harness.store.read(lambda reader: reader.find(Run, {}, limit=1))


async def approve_all(at: PolicyHarness, run_id: str) -> None:
    """Approve all pending approvals as two people until the run has ended."""
    while (await at.core_harness.until(run_id)).state == "awaiting_approval":
        for approval in await at.approvals(run_id):
            if approval.status == "pending":
                await asyncio.gather(*(_approve(at, approval, caller) for caller in (None, BOB)))
        await asyncio.sleep(0)


async def _approve(at: PolicyHarness, approval: Approval, caller: object) -> None:
    who = {} if caller is None else {"caller": BOB}
    try:
        await at.core_harness.decide(approval.id, **who)
    except (AlreadyDecided, NotDecidable):
        return


async def test_changing_policies_never_run_change_twice_or_unapproved(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, FREE, BOB) as at:
        stop = asyncio.Event()
        swapping = asyncio.create_task(swap_policies(at, stop))
        started = [await at.core_harness.chat(f"change dev.a{n} dev.b{n}") for n in range(CONVERSATIONS)]
        await asyncio.gather(*(approve_all(at, each.run_id) for each in started))
        stop.set()
        await swapping
        for each in started:
            assert (await at.core_harness.run(each.run_id)).state == "completed"
            await _check(at, each.run_id)
        assert max(at.tools.effects.values(), default=0) <= 1


async def _check(at: PolicyHarness, run_id: str) -> None:
    """Check that each executed call was allowed by the rule or had enough votes, and that no denied call ran."""
    store = at.core_harness.store
    ran = {each.id for each in await store.read(lambda reader: reader.find(Execution, {"run_id": run_id}))}
    events = await store.read(lambda reader: reader.find(JournalEvent, {"run_id": run_id}, "n"))
    recorded = [(event.type, str(load_object(event.body).get("call_id"))) for event in events]
    denied = {call for kind, call in recorded if kind == "tool.denied"}
    votes = Counter(call for kind, call in recorded if kind in ("tool.vote", "tool.approved"))
    approvals = {each.id: each for each in await at.approvals(run_id)}
    assert set(at.tools.effects) & approvals.keys() == ran
    assert not ran & denied
    for call_id in ran:
        approval = approvals[call_id]
        assert approval.status == "consumed"
        if approval.decided_by_policy:
            assert approval.decided_by == "policy:free"
        else:
            assert votes[call_id] >= approval.votes


async def test_denial_before_start_applies_to_every_decision(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, FREE) as at:
        at.core_harness.gate.clear()
        started = [await at.core_harness.chat(f"change dev.x{n}") for n in range(4)]
        at.write(NEVER)
        at.core_harness.gate.set()
        for each in started:
            await at.core_harness.until(each.run_id, "completed")
        assert at.tools.effects.total() == 0
