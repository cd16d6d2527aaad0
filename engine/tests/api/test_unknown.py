"""Outcomes that can't be known: never run again by themselves, and settled only by proof or by a person."""

import pytest

from tests.support.app import problem
from tests.support.main_job import Job
from tests.support.person import Answer

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _unknown(job: Job, name: str, fault: str) -> tuple[Answer, str]:
    """A change whose answer never came."""
    asked = await job.me.ask(f"set {name}=1")
    job.counting.order(fault=fault, tool="change_thing")
    done = await job.me.decide(asked, asked.waiting[0])
    assert done["tool.unknown"]["call_id"] == asked.waiting[0]
    assert "unknown" in done.text
    return asked, asked.waiting[0]


@pytest.mark.promise("unknown", "once")
async def test_a_lost_answer_is_unknown_until_the_tool_server_proves_it(job: Job) -> None:
    _, call = await _unknown(job, "lost", "drop")
    assert (await job.me.approval(call))["outcome"] == "unknown"
    settled = (await job.me.verify(call)).json()
    assert settled["outcome"] == "succeeded"
    assert settled["history"][-1]["by"] == "the tool server"
    assert job.effects_of("lost") == ["1"]
    problem(await job.me.verify(call), 409)


@pytest.mark.promise("unknown")
async def test_a_change_that_never_arrived_is_proven_not_applied(job: Job) -> None:
    _, call = await _unknown(job, "never", "drop_before")
    settled = (await job.me.verify(call)).json()
    assert settled["outcome"] == "not_applied"
    assert job.effects_of("never") == []


@pytest.mark.promise("unknown")
async def test_without_proof_there_is_evidence_and_a_person_settles_it(job: Job) -> None:
    asked, call = await _unknown(job, "partly", "error_partial")
    looked = (await job.me.verify(call)).json()
    assert looked["outcome"] == "unknown"
    assert looked["evidence"]["verdict"] in ("looks_applied", "looks_not_applied", "cannot_tell")
    settled = (await job.me.verify(call, outcome="applied", reason="I looked at it myself")).json()
    assert settled["outcome"] == "applied"
    assert settled["history"][-1]["by"] == "local"
    timeline = await job.me.timeline(asked.conversation_id)
    assert timeline[1]["segments"][0]["toolExecution"]["status"] == "completed"


@pytest.mark.promise("unknown")
async def test_an_approval_beside_an_unknown_outcome_must_name_it(job: Job) -> None:
    _, call = await _unknown(job, "beside", "error_partial")
    again = await job.me.ask("set beside=2")
    refused = problem(await job.me.decided(again, again.waiting[0]), 409)
    assert refused["unknown"] == call
    await job.me.decide(again, again.waiting[0], despite_unknown=[call])
    assert job.effects_of("beside")[-1] == "2"


@pytest.mark.promise("unknown")
async def test_later_changes_of_the_turn_do_not_start_after_one_that_failed(job: Job) -> None:
    asked = await job.me.ask("set failing=1 and after=2")
    first, second = asked.waiting
    await job.me.decide(asked, second)
    job.counting.order(fault="error_none", tool="change_thing")
    done = await job.me.decide(asked, first)
    assert done["tool.superseded"]["call_id"] == second
    assert job.effects_of("after") == []
