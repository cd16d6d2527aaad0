"""Policy decisions in the real agent loop on a real database."""

import asyncio
from pathlib import Path

import pytest

from src.api.errors import AlreadyDecided, Forbidden, Unprocessable
from src.api.schemas.agent import StreamStart
from src.api.schemas.records import Decision, User
from src.api.services.access import Caller, Role
from tests.support.core_harness import ADA, BOB
from tests.support.policy_harness import open_policy_harness
from tests.support.store_writes import change_row

EVE = Caller("eve", Role.APPROVER, "Eve")
CAL = Caller("cal", Role.MEMBER, "Cal")
FREE = "rules: [{name: free, decision: allow, tools: change, namespaces: 'dev-*', reason: it is a sandbox}]"
TWO = "rules: [{name: four-eyes, decision: two_people, verbs: [change]}]"
NEVER = "rules: [{name: never, decision: deny, tools: [change], reason: the books are being closed}]"


@pytest.mark.promise("policy", "no-approval-no-effect")
async def test_allowed_change_runs_once_with_policy_approval(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, FREE) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("change dev-1.x")
        assert (await at.core_harness.run(run_id)).state == "completed"
        approval = await at.core_harness.approval(call_id)
        assert (approval.status, approval.decided_by, approval.rule) == ("consumed", "policy:free", "free")
        assert (approval.reason, at.tools.effects[call_id]) == ("it is a sandbox", 1)
        assert approval.execute_by is not None
        expected = [("tool.approved", "policy:free"), ("tool.executing", None), ("tool.result", None)]
        assert await at.events(run_id) == expected


@pytest.mark.promise("policy", "fail-closed")
@pytest.mark.parametrize("thing", ["prod.x", "nowhere"])
async def test_change_with_unknown_scope_requires_approval(sqlite_store_url: str, tmp_path: Path, thing: str) -> None:
    """In another namespace, or in an unknown one."""
    async with open_policy_harness(sqlite_store_url, tmp_path, FREE) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest(f"change {thing}")
        assert (await at.core_harness.run(run_id)).state == "awaiting_approval"
        assert (await at.core_harness.approval(call_id)).rule == "default-changes"


@pytest.mark.promise("policy", "attribution")
async def test_denied_change_is_reported_to_model_without_approval(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, NEVER) as at:
        run_id, _ = await at.core_harness.chat_until_rest("change dev.x")
        assert (await at.core_harness.run(run_id)).state == "completed"
        assert await at.events(run_id) == [("tool.denied", "policy:never")]
        assert await at.approvals(run_id) == []
        result = at.core_harness.model.requests[-1].messages[-1].content
        assert "never" in result
        assert "the books are being closed" in result
        assert at.tools.effects.total() == 0


@pytest.mark.promise("one-decision", "policy")
async def test_two_people_must_approve(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, TWO, BOB, EVE) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("change dev.x")
        first = await at.core_harness.decide(call_id, reason="looks right")
        assert await at.core_harness.decide(call_id) == first
        with pytest.raises(AlreadyDecided, match="already"):
            await at.core_harness.decide(call_id, approve=False)
        view = await at.core_harness.core.inbox.get(ADA, call_id)
        assert (view.status, [each.id for each in view.votes], view.votes_needed) == ("pending", [ADA.id], 2)
        assert [(each.what, each.by) for each in view.history[1:]] == [("approved", "local")]
        assert at.tools.effects.total() == 0
        await at.core_harness.decide(call_id, caller=BOB)
        await at.core_harness.until(run_id, "completed")
        approval = await at.core_harness.approval(call_id)
        assert (approval.status, approval.decided_by, at.tools.effects[call_id]) == ("consumed", "local and bob", 1)
        decided = [(kind, by) for kind, by in await at.events(run_id) if kind in ("tool.vote", "tool.approved")]
        assert decided == [("tool.vote", "local"), ("tool.approved", "local and bob")]


@pytest.mark.promise("one-decision")
async def test_one_denial_of_two_denies(sqlite_store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, TWO, BOB) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("change dev.x")
        await at.core_harness.decide(call_id)
        await at.core_harness.decide(call_id, approve=False, caller=BOB)
        await at.core_harness.until(run_id, "completed")
        approval = await at.core_harness.approval(call_id)
        assert (approval.status, approval.decided_by, at.tools.effects.total()) == ("denied", "bob", 0)


@pytest.mark.promise("one-decision", "policy")
async def test_fifty_concurrent_votes_count_two_people(store_url: str, tmp_path: Path) -> None:
    people = [Caller(f"person-{n}", Role.APPROVER, f"Person {n}") for n in range(25)]
    async with open_policy_harness(store_url, tmp_path, TWO, *people) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("change dev.x")
        votes = [at.core_harness.decide(call_id, caller=person) for person in people for _ in range(2)]
        answers = await asyncio.gather(*votes, return_exceptions=True)
        await at.core_harness.until(run_id, "completed")
        found = await at.core_harness.store.read(lambda reader: reader.find(Decision, {"approval_id": call_id}))
        assert len(found) == 2
        assert len({each.user_id for each in found}) == 2
        assert sum(isinstance(each, StreamStart) for each in answers) == 4, "each of the two asked twice"
        assert sum(isinstance(each, AlreadyDecided) for each in answers) == 46
        assert at.tools.effects[call_id] == 1


@pytest.mark.promise("policy", "authorised")
@pytest.mark.parametrize("tool", ["wipe", "change"])
async def test_requester_can_not_approve_own_destructive_change(store_url: str, tmp_path: Path, tool: str) -> None:
    """A change is destructive by its tool's annotation or by what its preview says."""
    async with open_policy_harness(store_url, tmp_path, "rules: []", CAL, BOB) as at:
        at.tools.risks["change"] = "destructive"
        run_id, [call_id] = await at.core_harness.chat_until_rest(f"{tool} dev.x", caller=CAL)
        with pytest.raises(Forbidden, match="an approver or an admin"):
            await at.core_harness.decide(call_id, caller=CAL)
        await at.core_harness.decide(call_id, caller=BOB)
        await at.core_harness.until(run_id, "completed")
        assert at.tools.effects[call_id] == 1
        run_id, [call_id] = await at.core_harness.chat_until_rest(f"{tool} dev.y", caller=CAL)
        await change_row(at.core_harness.store, User, {"id": BOB.id}, role="member")
        await at.core_harness.decide(call_id, caller=CAL)
        await at.core_harness.until(run_id, "completed")
        assert at.tools.effects[call_id] == 1, "without another approver, the requester may approve"


@pytest.mark.promise("policy", "bound")
@pytest.mark.parametrize(("tool", "reported", "risk"), [("wipe", "low", "destructive"), ("change", "high", "high")])
async def test_event_preview_and_inbox_state_the_same_risk(
    sqlite_store_url: str, tmp_path: Path, tool: str, reported: str, risk: str
) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, "rules: []", CAL) as at:
        at.tools.risks[tool] = reported  # type: ignore[assignment]
        run_id, [call_id] = await at.core_harness.chat_until_rest(f"{tool} dev.x", caller=CAL)
        event = await at.event(run_id, "tool.awaiting_approval")
        view = await at.core_harness.core.inbox.get(ADA, call_id)
        approval = await at.core_harness.approval(call_id)
        assert (event["risk"], event["preview"]["risk"]["level"]) == (risk, risk)
        assert (view.risk, approval.risk, approval.effect == "destructive") == (risk, risk, risk == "destructive")


async def test_requester_may_destroy_if_policy_allows(sqlite_store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, "requester_may_destroy: true", CAL, BOB) as at:
        _, [call_id] = await at.core_harness.chat_until_rest("wipe dev.x", caller=CAL)
        await at.core_harness.decide(call_id, caller=CAL)


@pytest.mark.promise("policy", "edits-are-new")
async def test_edit_keeps_votes_and_names_editor(sqlite_store_url: str, tmp_path: Path) -> None:
    policy = "rules: [{name: no-prod, decision: deny, namespaces: [prod]}, {name: two, decision: two_people}]"
    async with open_policy_harness(sqlite_store_url, tmp_path, policy, BOB) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("wipe dev.x")
        with pytest.raises(Unprocessable, match="no-prod"):
            await at.core_harness.decide(call_id, caller=BOB, args={"name": "prod.x"})
        assert (await at.core_harness.approval(call_id)).status == "pending"
        await at.core_harness.decide(call_id, caller=BOB, args={"name": "dev.y"})
        [_, edited] = await at.approvals(run_id)
        assert (edited.author_id, edited.votes, edited.effect) == (BOB.id, 2, "destructive")


@pytest.mark.promise("policy")
@pytest.mark.parametrize(("approve", "last"), [(True, "tool.result"), (False, "tool.denied")])
async def test_read_can_require_approval(store_url: str, tmp_path: Path, approve: bool, last: str) -> None:
    ask = "rules: [{name: eyes, decision: ask, verbs: read}]"
    async with open_policy_harness(store_url, tmp_path, ask) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("look")
        assert (await at.core_harness.run(run_id)).state == "awaiting_approval"
        await at.core_harness.decide(call_id, approve=approve)
        await at.core_harness.until(run_id, "completed")
        assert (await at.events(run_id))[-1][0] == last
        result = at.core_harness.model.requests[-1].messages[-1].content
        assert ("all is well" in result) is approve
        assert (await at.core_harness.approval(call_id)).effect == "read"


@pytest.mark.promise("policy")
async def test_read_can_be_denied(sqlite_store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(
        sqlite_store_url, tmp_path, "rules: [{name: blind, decision: deny, roles: admin}]"
    ) as at:
        run_id, _ = await at.core_harness.chat_until_rest("look")
        assert await at.events(run_id) == [("tool.denied", "policy:blind")]
        assert "all is well" not in at.core_harness.model.requests[-1].messages[-1].content


@pytest.mark.promise("policy", "no-approval-no-effect")
async def test_new_denial_applies_when_change_starts(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, "rules: []") as at:
        run_id, [first, second] = await at.core_harness.chat_until_rest("change dev.x prod.y")
        await at.core_harness.decide(second)
        at.write("rules: [{name: frozen, decision: deny, namespaces: dev}]")
        await at.core_harness.decide(first)
        await at.core_harness.until(run_id, "completed")
        assert ("tool.denied", "policy:frozen") in await at.events(run_id)
        assert ((await at.core_harness.approval(first)).status, at.tools.effects[first]) == ("stale", 0)
        assert at.tools.effects[second] == 1, "the next change runs, as after a denial"


@pytest.mark.promise("policy", "fail-closed")
@pytest.mark.parametrize("after", ["rules: []", "rules: [", "rules: [{name: renamed, decision: allow}]"])
async def test_change_allowed_by_removed_rule_requires_approval(
    sqlite_store_url: str, tmp_path: Path, after: str
) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, FREE) as at:
        run_id, [first, second] = await at.core_harness.chat_until_rest("change prod.x dev-1.y")
        assert (await at.core_harness.approval(second)).decided_by == "policy:free"
        at.write(after)
        await at.core_harness.decide(first)
        await at.core_harness.until(run_id, "awaiting_approval")
        assert at.tools.effects[second] == 0
        next_approval = (await at.approvals(run_id))[-1]
        assert ((await at.core_harness.approval(second)).status, next_approval.supersedes, next_approval.status) == (
            "stale",
            second,
            "pending",
        )
        await at.core_harness.decide(next_approval.id)
        await at.core_harness.until(run_id, "completed")
        assert at.tools.effects[next_approval.id] == 1


@pytest.mark.promise("policy")
async def test_raised_vote_count_requires_new_approval(sqlite_store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, "rules: []", BOB) as at:
        run_id, [call_id] = await at.core_harness.chat_until_rest("change dev.x")
        at.write(TWO)
        await at.core_harness.decide(call_id)
        await at.core_harness.until(run_id, "awaiting_approval")
        [old, next_approval] = await at.approvals(run_id)
        assert (old.status, next_approval.votes, next_approval.rule, at.tools.effects.total()) == (
            "stale",
            2,
            "four-eyes",
            0,
        )


@pytest.mark.promise("policy", "unknown")
async def test_policy_does_not_allow_change_conflicting_with_unknown_outcome(
    sqlite_store_url: str, tmp_path: Path
) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, FREE) as at:
        at.tools.next = ["lose"]
        await at.core_harness.chat_until_rest("change dev-1.x")
        run_id, [call_id] = await at.core_harness.chat_until_rest("change dev-1.x")
        assert (await at.core_harness.run(run_id)).state == "awaiting_approval"
        assert (await at.core_harness.approval(call_id)).status == "pending"


@pytest.mark.promise("policy", "fail-closed")
async def test_rule_does_not_allow_change_of_demoted_requester(sqlite_store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, FREE, CAL, BOB) as at:
        run_id, [first, second] = await at.core_harness.chat_until_rest("change prod.x dev-1.y", caller=CAL)
        assert (await at.core_harness.approval(second)).status == "approved"
        await change_row(at.core_harness.store, User, {"id": CAL.id}, role="viewer")
        await at.core_harness.decide(first, caller=BOB)
        await at.core_harness.until(run_id)
        assert ((await at.core_harness.approval(second)).status, at.tools.effects[second]) == ("stale", 0)
