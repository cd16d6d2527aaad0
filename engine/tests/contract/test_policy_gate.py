"""What the policy decides, at work: the real loop on a real database, with a policy file that a test writes."""

import asyncio
from pathlib import Path

import pytest

from src.api.errors import AlreadyDecided, Forbidden, Unprocessable
from src.api.schemas.agent import Started
from src.api.schemas.records import Decision, User
from src.api.services.access import Caller, Role
from tests.support.office import office
from tests.support.workshop import ADA, BOB
from tests.support.writing import change

EVE = Caller("eve", Role.APPROVER, "Eve")
CAL = Caller("cal", Role.MEMBER, "Cal")
FREE = "rules: [{name: free, decision: allow, tools: change, namespaces: 'dev-*', reason: it is a sandbox}]"
TWO = "rules: [{name: four-eyes, decision: two_people, verbs: [change]}]"
NEVER = "rules: [{name: never, decision: deny, tools: [change], reason: the books are being closed}]"


@pytest.mark.promise("policy", "no-approval-no-effect")
async def test_what_a_rule_allows_runs_once_and_is_recorded_as_its_approval(store_url: str, tmp_path: Path) -> None:
    async with office(store_url, tmp_path, FREE) as at:
        run_id, [call_id] = await at.bench.asked("change dev-1.x")
        assert (await at.bench.run(run_id)).state == "completed"
        approval = await at.bench.approval(call_id)
        assert (approval.status, approval.decided_by, approval.rule) == ("consumed", "policy:free", "free")
        assert (approval.reason, at.tools.effects[call_id]) == ("it is a sandbox", 1)
        assert approval.execute_by is not None
        told = [("tool.approved", "policy:free"), ("tool.executing", None), ("tool.result", None)]
        assert await at.events(run_id) == told


@pytest.mark.promise("policy", "fail-closed")
@pytest.mark.parametrize("thing", ["prod.x", "nowhere"])
async def test_what_is_not_surely_allowed_is_asked_for(sqlite_store_url: str, tmp_path: Path, thing: str) -> None:
    """In another namespace, or in nobody knows which."""
    async with office(sqlite_store_url, tmp_path, FREE) as at:
        run_id, [call_id] = await at.bench.asked(f"change {thing}")
        assert (await at.bench.run(run_id)).state == "awaiting_approval"
        assert (await at.bench.approval(call_id)).rule == "default-changes"


@pytest.mark.promise("policy", "reason-travels")
async def test_what_is_denied_is_told_to_the_model_and_asked_of_nobody(store_url: str, tmp_path: Path) -> None:
    async with office(store_url, tmp_path, NEVER) as at:
        run_id, _ = await at.bench.asked("change dev.x")
        assert (await at.bench.run(run_id)).state == "completed"
        assert await at.events(run_id) == [("tool.denied", "policy:never")]
        assert await at.approvals(run_id) == []
        told = at.bench.model.requests[-1].messages[-1].content
        assert "never" in told
        assert "the books are being closed" in told
        assert at.tools.effects.total() == 0


@pytest.mark.promise("one-decision", "policy")
async def test_two_people_decide(store_url: str, tmp_path: Path) -> None:
    async with office(store_url, tmp_path, TWO, BOB, EVE) as at:
        run_id, [call_id] = await at.bench.asked("change dev.x")
        first = await at.bench.decide(call_id, reason="looks right")
        assert await at.bench.decide(call_id) == first
        with pytest.raises(AlreadyDecided, match="already"):
            await at.bench.decide(call_id, approve=False)
        view = await at.bench.core.inbox.get(ADA, call_id)
        assert (view.status, view.votes, view.votes_needed) == ("pending", 1, 2)
        assert [(each.what, each.by) for each in view.history[1:]] == [("approved", "local")]
        assert at.tools.effects.total() == 0
        await at.bench.decide(call_id, caller=BOB)
        await at.bench.until(run_id, "completed")
        approval = await at.bench.approval(call_id)
        assert (approval.status, approval.decided_by, at.tools.effects[call_id]) == ("consumed", "local and Bob", 1)
        decided = [(kind, by) for kind, by in await at.events(run_id) if kind in ("tool.vote", "tool.approved")]
        assert decided == [("tool.vote", "Ada"), ("tool.approved", "local and Bob")]


@pytest.mark.promise("one-decision")
async def test_one_of_two_says_no(sqlite_store_url: str, tmp_path: Path) -> None:
    async with office(sqlite_store_url, tmp_path, TWO, BOB) as at:
        run_id, [call_id] = await at.bench.asked("change dev.x")
        await at.bench.decide(call_id)
        await at.bench.decide(call_id, approve=False, caller=BOB)
        await at.bench.until(run_id, "completed")
        approval = await at.bench.approval(call_id)
        assert (approval.status, approval.decided_by, at.tools.effects.total()) == ("denied", "Bob", 0)


@pytest.mark.promise("one-decision", "policy")
async def test_of_fifty_at_once_two_different_people_count(store_url: str, tmp_path: Path) -> None:
    people = [Caller(f"person-{n}", Role.APPROVER, f"Person {n}") for n in range(25)]
    async with office(store_url, tmp_path, TWO, *people) as at:
        run_id, [call_id] = await at.bench.asked("change dev.x")
        votes = [at.bench.decide(call_id, caller=person) for person in people for _ in range(2)]
        answers = await asyncio.gather(*votes, return_exceptions=True)
        await at.bench.until(run_id, "completed")
        found = await at.bench.store.read(lambda reader: reader.find(Decision, {"approval_id": call_id}))
        assert len(found) == 2
        assert len({each.user_id for each in found}) == 2
        assert sum(isinstance(each, Started) for each in answers) == 4, "each of the two asked twice"
        assert sum(isinstance(each, AlreadyDecided) for each in answers) == 46
        assert at.tools.effects[call_id] == 1


@pytest.mark.promise("policy", "authorised")
async def test_nobody_approves_what_they_destroy_where_another_may(store_url: str, tmp_path: Path) -> None:
    async with office(store_url, tmp_path, "rules: []", CAL, BOB) as at:
        run_id, [call_id] = await at.bench.asked("wipe dev.x", caller=CAL)
        with pytest.raises(Forbidden, match="an approver or an admin"):
            await at.bench.decide(call_id, caller=CAL)
        await at.bench.decide(call_id, caller=BOB)
        await at.bench.until(run_id, "completed")
        assert at.tools.effects[call_id] == 1
        run_id, [call_id] = await at.bench.asked("wipe dev.y", caller=CAL)
        await change(at.bench.store, User, {"id": BOB.id}, role="member")
        await at.bench.decide(call_id, caller=CAL)
        await at.bench.until(run_id, "completed")
        assert at.tools.effects[call_id] == 1, "with nobody else to ask, one's own yes counts"


async def test_a_policy_may_let_people_destroy_what_is_theirs(sqlite_store_url: str, tmp_path: Path) -> None:
    async with office(sqlite_store_url, tmp_path, "requester_may_destroy: true", CAL, BOB) as at:
        _, [call_id] = await at.bench.asked("wipe dev.x", caller=CAL)
        await at.bench.decide(call_id, caller=CAL)


@pytest.mark.promise("policy", "edits-are-new")
async def test_an_edit_is_decided_by_as_many_and_is_its_editors(sqlite_store_url: str, tmp_path: Path) -> None:
    policy = "rules: [{name: no-prod, decision: deny, namespaces: [prod]}, {name: two, decision: two_people}]"
    async with office(sqlite_store_url, tmp_path, policy, BOB) as at:
        run_id, [call_id] = await at.bench.asked("wipe dev.x")
        with pytest.raises(Unprocessable, match="no-prod"):
            await at.bench.decide(call_id, caller=BOB, args={"name": "prod.x"})
        assert (await at.bench.approval(call_id)).status == "pending"
        await at.bench.decide(call_id, caller=BOB, args={"name": "dev.y"})
        [_, edited] = await at.approvals(run_id)
        assert (edited.author_id, edited.votes, edited.effect) == (BOB.id, 2, "destructive")


@pytest.mark.promise("policy")
@pytest.mark.parametrize(("approve", "last"), [(True, "tool.result"), (False, "tool.denied")])
async def test_a_read_can_be_asked_for(store_url: str, tmp_path: Path, approve: bool, last: str) -> None:
    ask = "rules: [{name: eyes, decision: ask, verbs: read}]"
    async with office(store_url, tmp_path, ask) as at:
        run_id, [call_id] = await at.bench.asked("look")
        assert (await at.bench.run(run_id)).state == "awaiting_approval"
        await at.bench.decide(call_id, approve=approve)
        await at.bench.until(run_id, "completed")
        assert (await at.events(run_id))[-1][0] == last
        told = at.bench.model.requests[-1].messages[-1].content
        assert ("all is well" in told) is approve
        assert (await at.bench.approval(call_id)).effect == "read"


@pytest.mark.promise("policy")
async def test_a_read_can_be_denied(sqlite_store_url: str, tmp_path: Path) -> None:
    async with office(sqlite_store_url, tmp_path, "rules: [{name: blind, decision: deny, roles: admin}]") as at:
        run_id, _ = await at.bench.asked("look")
        assert await at.events(run_id) == [("tool.denied", "policy:blind")]
        assert "all is well" not in at.bench.model.requests[-1].messages[-1].content


@pytest.mark.promise("policy", "no-approval-no-effect")
async def test_a_policy_that_denies_meanwhile_is_heeded_when_the_change_starts(store_url: str, tmp_path: Path) -> None:
    async with office(store_url, tmp_path, "rules: []") as at:
        run_id, [first, second] = await at.bench.asked("change dev.x prod.y")
        await at.bench.decide(second)
        at.write("rules: [{name: frozen, decision: deny, namespaces: dev}]")
        await at.bench.decide(first)
        await at.bench.until(run_id, "completed")
        assert ("tool.denied", "policy:frozen") in await at.events(run_id)
        assert ((await at.bench.approval(first)).status, at.tools.effects[first]) == ("stale", 0)
        assert at.tools.effects[second] == 1, "as after a person's no, the next goes on"


@pytest.mark.promise("policy", "fail-closed")
@pytest.mark.parametrize("after", ["rules: []", "rules: [", "rules: [{name: renamed, decision: allow}]"])
async def test_what_was_allowed_by_a_rule_that_is_gone_is_asked_for(
    sqlite_store_url: str, tmp_path: Path, after: str
) -> None:
    async with office(sqlite_store_url, tmp_path, FREE) as at:
        run_id, [first, second] = await at.bench.asked("change prod.x dev-1.y")
        assert (await at.bench.approval(second)).decided_by == "policy:free"
        at.write(after)
        await at.bench.decide(first)
        await at.bench.until(run_id, "awaiting_approval")
        assert at.tools.effects[second] == 0
        anew = (await at.approvals(run_id))[-1]
        assert ((await at.bench.approval(second)).status, anew.supersedes, anew.status) == ("stale", second, "pending")
        await at.bench.decide(anew.id)
        await at.bench.until(run_id, "completed")
        assert at.tools.effects[anew.id] == 1


@pytest.mark.promise("policy")
async def test_one_yes_is_not_enough_any_more(sqlite_store_url: str, tmp_path: Path) -> None:
    async with office(sqlite_store_url, tmp_path, "rules: []", BOB) as at:
        run_id, [call_id] = await at.bench.asked("change dev.x")
        at.write(TWO)
        await at.bench.decide(call_id)
        await at.bench.until(run_id, "awaiting_approval")
        [old, anew] = await at.approvals(run_id)
        assert (old.status, anew.votes, anew.rule, at.tools.effects.total()) == ("stale", 2, "four-eyes", 0)


@pytest.mark.promise("policy", "unknown")
async def test_beside_an_unknown_outcome_no_policy_says_yes(sqlite_store_url: str, tmp_path: Path) -> None:
    async with office(sqlite_store_url, tmp_path, FREE) as at:
        at.tools.next = ["lose"]
        await at.bench.asked("change dev-1.x")
        run_id, [call_id] = await at.bench.asked("change dev-1.x")
        assert (await at.bench.run(run_id)).state == "awaiting_approval"
        assert (await at.bench.approval(call_id)).status == "pending"


@pytest.mark.promise("policy", "fail-closed")
async def test_who_may_no_longer_ask_is_not_allowed_by_a_rule(sqlite_store_url: str, tmp_path: Path) -> None:
    async with office(sqlite_store_url, tmp_path, FREE, CAL, BOB) as at:
        run_id, [first, second] = await at.bench.asked("change prod.x dev-1.y", caller=CAL)
        assert (await at.bench.approval(second)).status == "approved"
        await change(at.bench.store, User, {"id": CAL.id}, role="viewer")
        await at.bench.decide(first, caller=BOB)
        await at.bench.until(run_id)
        assert ((await at.bench.approval(second)).status, at.tools.effects[second]) == ("stale", 0)
