"""Decisions over HTTP: made once, in any order, with reasons, and only on what was shown."""

import asyncio

import pytest

from src.api.schemas.records import Approval, Run
from tests.support.app import check_problem
from tests.support.engine_harness import EngineHarness

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.promise("once")
async def test_approved_change_runs_once_and_streams_events(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set alpha=1")
    assert asked.last["status"] == "awaiting_approval"
    [call] = asked.waiting
    assert agent.effects_of("alpha") == []
    done = await agent.me.decide(asked, call, reason="safe", digest=asked["tool.awaiting_approval"]["digest"])
    assert done.types[1:4] == ["tool.approved", "tool.executing", "tool.result"]
    assert done["tool.approved"]["decided_by"] == "local"
    assert done.last["status"] == "completed"
    assert agent.effects_of("alpha") == ["1"]


@pytest.mark.parametrize("then", ["approve", "stop"])
async def test_run_tells_how_long_it_waited_for_people(agent: EngineHarness, then: str) -> None:
    """An hour of waiting, by a row set back, is no work of the run."""
    hour, store = 3_600_000, agent.running.services.chat.store
    asked = await agent.me.ask("set waited=1")
    assert asked["completed"]["waited_ms"] == 0
    run = await agent.me.run(asked.run_id)
    assert run["rested_at"] is not None
    times = {name: run[name] - hour for name in ("rested_at", "created_at")}
    await store.transaction(lambda tx: tx.change(Run, {"id": asked.run_id}, **times))
    if then == "approve":
        done = await agent.me.decide(asked, asked.waiting[0])
    else:
        assert (await agent.me.stop(asked.conversation_id, asked.run_id)).status_code == 200
        done = await agent.me.follow(asked.run_id)
    end, run = done.all("completed")[-1], await agent.me.run(asked.run_id)
    assert end["waited_ms"] == run["waited_ms"]
    assert hour <= end["waited_ms"] <= end["duration_ms"]
    assert run["rested_at"] is None


@pytest.mark.promise("one-decision")
async def test_repeated_decision_attaches_without_effect(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set beta=1")
    [call] = asked.waiting
    first = await agent.me.decide(asked, call)
    again = await agent.me.decide(asked, call)
    assert again.types == [kind for kind in first.types if kind != "ttft"]
    assert agent.effects_of("beta") == ["1"]


@pytest.mark.promise("one-decision")
async def test_conflicting_decision_reports_first_decision(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set gamma=1")
    [call] = asked.waiting
    await agent.me.decide(asked, call, approve=False, reason="not now")
    refusal = check_problem(await agent.me.post_decision(asked, call, approve=True), 409)
    assert refusal["decided_by"] == "local"
    assert refusal["decision"] == "denied"
    assert refusal["decided_at"] > 0
    assert agent.effects_of("gamma") == []


@pytest.mark.promise("one-decision")
async def test_fifty_concurrent_decisions_make_one(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set delta=1")
    [call] = asked.waiting
    answers = await asyncio.gather(*(agent.me.post_decision(asked, call, approve=n % 2 == 0) for n in range(50)))
    approved = [answer for n, answer in enumerate(answers) if n % 2 == 0 and answer.status_code == 200]
    denied = [answer for n, answer in enumerate(answers) if n % 2 and answer.status_code == 200]
    assert bool(approved) != bool(denied)
    assert len(approved) + len(denied) == 25
    assert agent.effects_of("delta") == (["1"] if approved else [])


@pytest.mark.promise("attribution")
async def test_denial_reason_reaches_model(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set epsilon=1")
    [call] = asked.waiting
    denied = await agent.me.decide(asked, call, approve=False, reason="wait for the backup")
    assert denied["tool.denied"]["reason"] == "wait for the backup"
    assert "wait for the backup" in denied.text
    assert agent.effects_of("epsilon") == []


async def test_changes_run_in_call_order_despite_decision_order(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set zeta=1 and eta=2")
    first, second = asked.waiting
    later = await agent.me.decide(asked, second)
    assert later.types == ["ready", "tool.approved", "workflow_complete"]
    assert agent.effects_of("eta") == []
    done = await agent.me.decide(asked, first)
    assert [event["call_id"] for event in done.all("tool.executing")] == [first, second]
    assert [effect.name for effect in agent.counting.effects()][-2:] == ["zeta", "eta"]


async def test_denied_change_does_not_block_next(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set theta=1 and iota=2")
    first, second = asked.waiting
    await agent.me.decide(asked, second)
    done = await agent.me.decide(asked, first, approve=False)
    assert [event["call_id"] for event in done.all("tool.result")] == [second]
    assert agent.effects_of("theta") == []
    assert agent.effects_of("iota") == ["2"]


async def test_change_to_same_object_is_previewed_later(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set kappa=1 and kappa=2")
    [first] = asked.waiting
    then = await agent.me.decide(asked, first)
    [second] = then.waiting
    assert then.last["status"] == "awaiting_approval"
    await agent.me.decide(asked, second)
    assert agent.effects_of("kappa") == ["1", "2"]


@pytest.mark.promise("bound")
async def test_wrong_digest_is_refused(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set lambda=1")
    [call] = asked.waiting
    check_problem(await agent.me.post_decision(asked, call, digest="0" * 64), 409)
    assert (await agent.me.approval(call))["status"] == "pending"
    assert agent.effects_of("lambda") == []


@pytest.mark.promise("bound")
@pytest.mark.parametrize("column", ["args", "tool", "server", "schema_hash", "preview", "preconditions", "run_id"])
async def test_approval_row_edited_after_preview_is_refused(agent: EngineHarness, column: str) -> None:
    asked = await agent.me.ask("set mu=1")
    [call] = asked.waiting
    store = agent.running.services.chat.store
    value = '{"name":"mu","value":"2"}' if column in ("args", "preview", "preconditions") else asked.run_id[::-1]
    await store.transaction(lambda tx: tx.change(Approval, {"id": call}, **{column: value}))
    answer = await agent.me.post_decision(asked, call)
    assert answer.status_code == (404 if column == "run_id" else 409)
    assert agent.effects_of("mu") == []


@pytest.mark.promise("edits-are-new")
async def test_edited_approval_gets_new_digest(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set nu=1")
    [call] = asked.waiting
    edited = await agent.me.decide(asked, call, args={"name": "nu", "value": "7"}, reason="seven is enough")
    assert edited["tool.superseded"]["call_id"] == call
    shown = edited["tool.awaiting_approval"]
    assert shown["supersedes"] == call
    assert shown["digest"] != asked["tool.awaiting_approval"]["digest"]
    assert agent.effects_of("nu") == []
    check_problem(await agent.me.post_decision(asked, call), 409)
    await agent.me.decide(asked, shown["call_id"])
    assert agent.effects_of("nu") == ["7"]


async def test_invalid_edit_changes_nothing(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set xi=1")
    [call] = asked.waiting
    check_problem(await agent.me.post_decision(asked, call, args={"name": "xi", "value": 7, "more": True}), 422)
    assert (await agent.me.approval(call))["status"] == "pending"


@pytest.mark.promise("fresh")
async def test_stale_preview_requests_new_approval(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set omicron=1")
    [call] = asked.waiting
    agent.counting.control(set={"omicron": "moved"})
    stale = await agent.me.decide(asked, call)
    assert stale["tool.stale"]["call_id"] == call
    shown = stale["tool.awaiting_approval"]
    assert shown["supersedes"] == call
    assert agent.effects_of("omicron") == []
    await agent.me.decide(asked, shown["call_id"])
    assert agent.effects_of("omicron") == ["1"]


@pytest.mark.promise("no-approval-no-effect")
async def test_new_message_supersedes_pending_approval(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set pi=1")
    [call] = asked.waiting
    await agent.me.ask("hello", conversation_id=asked.conversation_id)
    check_problem(await agent.me.post_decision(asked, call), 409)
    assert (await agent.me.approval(call))["status"] == "superseded"
    assert agent.effects_of("pi") == []


async def test_decision_must_name_its_conversation(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set rho=1")
    other = await agent.me.ask("hello")
    [call] = asked.waiting
    check_problem(await agent.me.post_decision(other, call), 404)
