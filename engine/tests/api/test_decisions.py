"""Decisions on changes, over HTTP: once, in any order, with their reasons, and on nothing but what was shown."""

import asyncio

import pytest

from src.api.schemas.records import Approval
from tests.support.app import problem
from tests.support.main_job import Job

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.promise("once")
async def test_an_approved_change_runs_once_and_is_told(job: Job) -> None:
    asked = await job.me.ask("set alpha=1")
    assert asked.last["status"] == "awaiting_approval"
    [call] = asked.waiting
    assert job.effects_of("alpha") == []
    done = await job.me.decide(asked, call, reason="safe", digest=asked["tool.awaiting_approval"]["digest"])
    assert done.types[1:4] == ["tool.approved", "tool.executing", "tool.result"]
    assert done["tool.approved"]["decided_by"] == "local"
    assert done.last["status"] == "completed"
    assert job.effects_of("alpha") == ["1"]


@pytest.mark.promise("one-decision")
async def test_the_same_decision_again_attaches_and_runs_nothing(job: Job) -> None:
    asked = await job.me.ask("set beta=1")
    [call] = asked.waiting
    first = await job.me.decide(asked, call)
    again = await job.me.decide(asked, call)
    assert again.types == [kind for kind in first.types if kind != "ttft"]
    assert job.effects_of("beta") == ["1"]


@pytest.mark.promise("one-decision")
async def test_another_decision_is_told_who_decided_what_and_when(job: Job) -> None:
    asked = await job.me.ask("set gamma=1")
    [call] = asked.waiting
    await job.me.decide(asked, call, approve=False, reason="not now")
    told = problem(await job.me.decided(asked, call, approve=True), 409)
    assert told["decided_by"] == "local"
    assert told["decision"] == "denied"
    assert told["decided_at"] > 0
    assert job.effects_of("gamma") == []


@pytest.mark.promise("one-decision")
async def test_fifty_deciders_at_once_make_one_decision(job: Job) -> None:
    asked = await job.me.ask("set delta=1")
    [call] = asked.waiting
    answers = await asyncio.gather(*(job.me.decided(asked, call, approve=n % 2 == 0) for n in range(50)))
    approved = [answer for n, answer in enumerate(answers) if n % 2 == 0 and answer.status_code == 200]
    denied = [answer for n, answer in enumerate(answers) if n % 2 and answer.status_code == 200]
    assert bool(approved) != bool(denied)
    assert len(approved) + len(denied) == 25
    assert job.effects_of("delta") == (["1"] if approved else [])


@pytest.mark.promise("reason-travels")
async def test_a_denials_reason_reaches_the_model(job: Job) -> None:
    asked = await job.me.ask("set epsilon=1")
    [call] = asked.waiting
    denied = await job.me.decide(asked, call, approve=False, reason="wait for the backup")
    assert denied["tool.denied"]["reason"] == "wait for the backup"
    assert "wait for the backup" in denied.text
    assert job.effects_of("epsilon") == []


async def test_decisions_come_in_any_order_and_changes_run_in_the_models(job: Job) -> None:
    asked = await job.me.ask("set zeta=1 and eta=2")
    first, second = asked.waiting
    later = await job.me.decide(asked, second)
    assert later.types == ["ready", "tool.approved"]
    assert job.effects_of("eta") == []
    done = await job.me.decide(asked, first)
    assert [event["call_id"] for event in done.all("tool.executing")] == [first, second]
    assert [effect.name for effect in job.counting.effects()][-2:] == ["zeta", "eta"]


async def test_a_denied_change_does_not_hold_up_the_next(job: Job) -> None:
    asked = await job.me.ask("set theta=1 and iota=2")
    first, second = asked.waiting
    await job.me.decide(asked, second)
    done = await job.me.decide(asked, first, approve=False)
    assert [event["call_id"] for event in done.all("tool.result")] == [second]
    assert job.effects_of("theta") == []
    assert job.effects_of("iota") == ["2"]


async def test_a_change_to_an_object_that_an_earlier_one_touches_is_previewed_later(job: Job) -> None:
    asked = await job.me.ask("set kappa=1 and kappa=2")
    [first] = asked.waiting
    then = await job.me.decide(asked, first)
    [second] = then.waiting
    assert then.last["status"] == "awaiting_approval"
    await job.me.decide(asked, second)
    assert job.effects_of("kappa") == ["1", "2"]


@pytest.mark.promise("bound")
async def test_a_digest_of_something_else_is_refused(job: Job) -> None:
    asked = await job.me.ask("set lambda=1")
    [call] = asked.waiting
    problem(await job.me.decided(asked, call, digest="0" * 64), 409)
    assert (await job.me.approval(call))["status"] == "pending"
    assert job.effects_of("lambda") == []


@pytest.mark.promise("bound")
@pytest.mark.parametrize("column", ["args", "tool", "server", "schema_hash", "preview", "preconditions", "run_id"])
async def test_what_was_shown_can_not_be_changed_behind_the_digest(job: Job, column: str) -> None:
    asked = await job.me.ask("set mu=1")
    [call] = asked.waiting
    store = job.running.services.chat._store
    value = '{"name":"mu","value":"2"}' if column in ("args", "preview", "preconditions") else asked.run_id[::-1]
    await store.transaction(lambda tx: tx.change(Approval, {"id": call}, **{column: value}))
    answer = await job.me.decided(asked, call)
    assert answer.status_code == (404 if column == "run_id" else 409)
    assert job.effects_of("mu") == []


@pytest.mark.promise("edits-are-new")
async def test_approve_with_edits_asks_anew_with_a_digest_of_its_own(job: Job) -> None:
    asked = await job.me.ask("set nu=1")
    [call] = asked.waiting
    edited = await job.me.decide(asked, call, args={"name": "nu", "value": "7"}, reason="seven is enough")
    assert edited["tool.superseded"]["call_id"] == call
    shown = edited["tool.awaiting_approval"]
    assert shown["supersedes"] == call
    assert shown["digest"] != asked["tool.awaiting_approval"]["digest"]
    assert job.effects_of("nu") == []
    problem(await job.me.decided(asked, call), 409)
    await job.me.decide(asked, shown["call_id"])
    assert job.effects_of("nu") == ["7"]


async def test_edits_that_the_tool_can_not_take_change_nothing(job: Job) -> None:
    asked = await job.me.ask("set xi=1")
    [call] = asked.waiting
    problem(await job.me.decided(asked, call, args={"name": "xi", "value": 7, "more": True}), 422)
    assert (await job.me.approval(call))["status"] == "pending"


@pytest.mark.promise("fresh")
async def test_a_stale_preview_is_asked_anew(job: Job) -> None:
    asked = await job.me.ask("set omicron=1")
    [call] = asked.waiting
    job.counting.order(set={"omicron": "moved"})
    stale = await job.me.decide(asked, call)
    assert stale["tool.stale"]["call_id"] == call
    shown = stale["tool.awaiting_approval"]
    assert shown["supersedes"] == call
    assert job.effects_of("omicron") == []
    await job.me.decide(asked, shown["call_id"])
    assert job.effects_of("omicron") == ["1"]


@pytest.mark.promise("no-approval-no-effect")
async def test_a_new_message_supersedes_what_waits(job: Job) -> None:
    asked = await job.me.ask("set pi=1")
    [call] = asked.waiting
    await job.me.ask("hello", conversation_id=asked.conversation_id)
    problem(await job.me.decided(asked, call), 409)
    assert (await job.me.approval(call))["status"] == "superseded"
    assert job.effects_of("pi") == []


async def test_a_decision_must_name_its_own_conversation(job: Job) -> None:
    asked = await job.me.ask("set rho=1")
    other = await job.me.ask("hello")
    [call] = asked.waiting
    problem(await job.me.decided(other, call), 404)
