"""What an approval shows to each reader, and the filters of the inbox."""

from pathlib import Path
from typing import Any

import pytest

from src.api.errors import AlreadyDecided
from src.api.schemas.feed import InboxCounts
from src.api.schemas.records import Execution, User
from src.api.services.access import Caller, Role
from src.api.services.approvals.queries import InboxFilter
from tests.support.core_harness import ADA, BOB
from tests.support.engine_harness import EngineHarness
from tests.support.policy_harness import PolicyHarness, open_policy_harness
from tests.support.rows import row
from tests.support.store_writes import change_row, insert_record
from tests.support.team import Team

pytestmark = pytest.mark.asyncio(loop_scope="module")

CAL = Caller("cal", Role.MEMBER, "Cal")
DAN = Caller("dan", Role.MEMBER, "Dan")
EVE = Caller("eve", Role.APPROVER, "Eve")
VIC = Caller("vic", Role.VIEWER, "Vic")
BOT = Caller(BOB.id, BOB.role, "a token", machine=True, scopes=frozenset({"chat"}))
TWO = "rules: [{name: four-eyes, decision: two_people, verbs: [change]}]"


async def _view(at: PolicyHarness, caller: Caller, call_id: str) -> tuple[bool, str, list[str]]:
    view = await at.core_harness.core.inbox.get(caller, call_id)
    return view.may_decide, view.why_not or "", view.deciders


@pytest.mark.promise("authorised", "policy")
@pytest.mark.parametrize(
    ("word", "caller", "may_decide", "why_not", "deciders"),
    [
        ("change", CAL, True, "", []),
        ("change", BOB, True, "", []),
        ("change", ADA, True, "", []),
        ("change", BOT, False, "API tokens", ["Cal", "Bob", "Eve"]),
        ("wipe", CAL, False, "your own destructive change", ["Bob", "Eve"]),
        ("wipe", BOB, True, "", []),
    ],
)
async def test_approval_says_whether_its_reader_may_decide(
    sqlite_store_url: str,
    tmp_path: Path,
    word: str,
    caller: Caller,
    may_decide: bool,
    why_not: str,
    deciders: list[str],
) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, "rules: []", CAL, BOB, EVE) as at:
        _, [call_id] = await at.core_harness.chat_until_rest(f"{word} dev.x", caller=CAL)
        told = await _view(at, caller, call_id)
        assert (told[0], told[2]) == (may_decide, deciders)
        assert why_not in told[1]
        assert bool(told[1]) is not may_decide
        described = await at.core_harness.core.inbox.describe_for(caller, [call_id])
        assert described[call_id]["may_decide"] is may_decide
        assert described[call_id]["deciders"] == deciders
        assert described[call_id]["requester_user"] == {"id": "cal", "name": "Cal"}


@pytest.mark.promise("one-decision")
async def test_votes_and_their_givers_are_named(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, TWO, CAL, BOB, EVE) as at:
        await change_row(at.core_harness.store, User, {"id": BOB.id}, is_verified=True, email="bob@example.org")
        run_id, [call_id] = await at.core_harness.chat_until_rest("change dev.x", caller=CAL)
        await at.core_harness.decide(call_id, caller=BOB)
        view = await at.core_harness.core.inbox.get(BOB, call_id)
        assert [(each.id, each.name) for each in view.votes] == [("bob", "Bob")]
        assert (view.votes_needed, view.may_decide, view.deciders) == (2, False, ["Cal", "Eve"])
        assert "1 more approval is needed" in (view.why_not or "")
        assert (await at.core_harness.core.inbox.get(EVE, call_id)).may_decide
        await at.core_harness.decide(call_id, caller=EVE)
        await at.core_harness.until(run_id, "completed")
        view = await at.core_harness.core.inbox.get(EVE, call_id)
        assert (view.status, view.outcome, view.effect) == ("consumed", "succeeded", "done")
        assert (view.decided_by, view.decided_by_policy) == ("bob@example.org and eve", None)
        assert view.decided_by_user is not None
        assert (view.decided_by_user.id, view.may_decide, view.deciders) == ("eve", False, [])


@pytest.mark.promise("policy", "attribution")
async def test_name_like_a_policy_rule_is_no_policy_decision(sqlite_store_url: str, tmp_path: Path) -> None:
    """Every sentence that says who did something names the identity, not the name that the person chose."""
    fraud = Caller("mal", Role.APPROVER, "policy:default-reads")
    async with open_policy_harness(sqlite_store_url, tmp_path, "rules: []", CAL, fraud) as at:
        run_id, [first_id] = await at.core_harness.chat_until_rest("change dev.x", caller=CAL)
        await at.core_harness.decide(first_id, caller=fraud, args={"name": "dev.y"}, reason="smaller")
        assert (await at.core_harness.approval(first_id)).reason == "Edited by mal: smaller"
        call_id = (await at.core_harness.calls(run_id))[-1].id
        await at.core_harness.decide(call_id, caller=fraud)
        await at.core_harness.until(run_id, "completed")
        with pytest.raises(AlreadyDecided, match=r"^mal approved this call already\."):
            await at.core_harness.decide(call_id, caller=CAL, approve=False)
        view = await at.core_harness.core.inbox.get(CAL, call_id)
        assert "mal" in [each.by for each in view.history]
        assert fraud.name not in str([(each.by, each.detail) for each in view.history])
        assert (view.decided_by, view.decided_by_policy) == ("mal", None)
        assert view.decided_by_user is not None
        assert view.decided_by_user.id == "mal"


async def test_policy_decision_stands_in_a_field_of_its_own(sqlite_store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, "rules: [{name: free, decision: allow}]") as at:
        _, [call_id] = await at.core_harness.chat_until_rest("change dev.x")
        view = await at.core_harness.core.inbox.get(ADA, call_id)
        assert (view.decided_by, view.decided_by_policy, view.decided_by_user) == ("policy:free", "free", None)


@pytest.mark.promise("policy")
async def test_risk_is_the_same_in_event_preview_and_inbox(agent: EngineHarness) -> None:
    """The counting server's tool is marked as destructive, and its server offers no preview of it."""
    asked = await agent.me.ask("set risky=1")
    event = asked["tool.awaiting_approval"]
    view = await agent.me.approval(asked.waiting[0])
    [listed] = [
        each
        for each in (await agent.me.client.get("/agent/approvals", params={"risk": view["risk"]})).json()["data"]
        if each["call_id"] == view["call_id"]
    ]
    assert {event["risk"], event["preview"]["risk"]["level"], view["risk"], listed["risk"]} == {view["risk"]}
    assert view["preview"] == listed["preview"]


@pytest.mark.promise("authorised")
async def test_event_of_a_request_says_what_its_reader_may_do(agent: EngineHarness) -> None:
    team = Team(str(agent.me.client.base_url), agent.running.services.chat.store)
    asked = await agent.me.ask("set personal=1")
    await team.add("watcher", "admin")
    assert asked["tool.awaiting_approval"]["may_decide"] is True
    assert asked["tool.awaiting_approval"]["requester"] == "local"
    assert asked["tool.awaiting_approval"]["votes"] == []
    async with team.open_user("watcher") as watcher:
        await team.change("watcher", role="approver")
        assert (await watcher.follow(asked.run_id))["tool.awaiting_approval"]["may_decide"] is True
        await agent.me.decide(asked, asked.waiting[0])
        again = await watcher.follow(asked.run_id)
    assert again["tool.awaiting_approval"]["may_decide"] is True, "a replay says the same"
    assert again["tool.approved"]["decided_by_user"] == {"id": "local", "name": "local"}


async def _ids(at: PolicyHarness, caller: Caller, **wanted: Any) -> list[str]:
    """Read the whole list page by page, and check the count."""
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await at.core_harness.core.inbox.page(caller, InboxFilter(**wanted), cursor, 2)
        found += [each.call_id for each in page.data]
        cursor = page.pagination.next_cursor
        if cursor is None:
            assert page.count == len(found)
            assert page.now > 0
            return found


@pytest.mark.promise("bounded")
async def test_inbox_filters_and_sorts(store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(store_url, tmp_path, "rules: []", CAL, DAN, BOB) as at:
        chat = at.core_harness.chat_until_rest
        _, [wiped] = await chat("wipe dev.x", caller=CAL)
        _, [first, second] = await chat("change dev.a prod.b", caller=CAL)
        _, [other] = await chat("change dev.c", caller=DAN)
        newest_first = [other, second, first, wiped]
        assert sorted((await _ids(at, BOB))[1:3]) == sorted([first, second])
        assert sorted(await _ids(at, BOB)) == sorted(newest_first)
        assert sorted(await _ids(at, CAL)) == sorted([wiped, first, second])
        assert sorted(await _ids(at, CAL, decidable=True)) == sorted([first, second])
        assert await _ids(at, BOB, requester="dan") == [other]
        assert await _ids(at, BOB, namespace="prod") == [second]
        assert sorted(await _ids(at, BOB, cluster="home", namespace="dev")) == sorted([wiped, first, other])
        assert await _ids(at, BOB, cluster="elsewhere") == []
        assert await _ids(at, BOB, risk="destructive") == [wiped]
        by_deadline = await _ids(at, BOB, sort="expires_at")
        assert (by_deadline[0], by_deadline[-1], set(by_deadline)) == (wiped, other, set(newest_first))
        await at.core_harness.decide(first, caller=CAL, approve=False)
        assert await _ids(at, BOB, status="denied") == [first]
        assert await at.core_harness.core.inbox.counts(CAL) == InboxCounts(waiting=2, decidable=1, unknown=0)


@pytest.mark.promise("unknown")
async def test_inbox_finds_unknown_outcomes_among_many_known_ones(sqlite_store_url: str, tmp_path: Path) -> None:
    async with open_policy_harness(sqlite_store_url, tmp_path, "rules: []", CAL) as at:
        at.tools.next = ["drop"]
        run_id, [lost] = await at.core_harness.chat_until_rest("change dev.lost", caller=CAL)
        await at.core_harness.decide(lost, caller=CAL)
        await at.core_harness.until(run_id, "completed")
        for n in range(5):
            await insert_record(at.core_harness.store, row(Execution, id=f"known-{n}", state="succeeded"))
        assert await _ids(at, CAL, outcome="unknown") == [lost]
        assert await _ids(at, DAN, outcome="unknown") == []
        assert (await at.core_harness.core.inbox.counts(CAL)).unknown == 1


@pytest.mark.parametrize(
    ("approve", "effect", "status"), [(True, "done", "completed"), (False, "none", "denied"), (None, None, None)]
)
async def test_timeline_shows_a_change_as_the_inbox_does(
    agent: EngineHarness, approve: bool | None, effect: str | None, status: str | None
) -> None:
    asked = await agent.me.ask("set shown-in-timeline=1")
    if approve is not None:
        await agent.me.decide(asked, asked.waiting[0], approve=approve)
    _, answer = (await agent.me.timeline(asked.conversation_id))[:2]
    [shown] = [each["toolExecution"] for each in answer["segments"] if each["kind"] == "tool"]
    assert shown["approval"] == await agent.me.approval(asked.waiting[0])
    assert (shown["effect"], shown["approval"]["effect"]) == (effect, effect)
    assert shown["status"] == (status or "awaiting_approval")
    assert (shown["started_at"] is not None) is (approve is True)
    assert (shown["ended_at"] is not None) is (approve is not None)
    exported = (await agent.me.client.get(f"/conversations/{asked.conversation_id}/export?format=json")).json()
    assert exported["messages"][1] == answer


async def test_timeline_shows_a_read_without_an_approval(agent: EngineHarness) -> None:
    asked = await agent.me.ask("read the thing")
    _, answer = await agent.me.timeline(asked.conversation_id)
    [shown] = [each["toolExecution"] for each in answer["segments"] if each["kind"] == "tool"]
    assert (shown["approval"], shown["effect"]) == (None, None)
    assert 0 < shown["started_at"] <= shown["ended_at"]


async def test_failed_call_names_its_effect(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set stopped-effect=1")
    await agent.me.stop(asked.conversation_id, asked.run_id)
    assert (await agent.me.follow(asked.run_id))["tool.error"]["effect"] == "none"
