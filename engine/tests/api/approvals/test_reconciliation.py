"""Unknown outcomes: never repeated automatically, settled only by proof or by a person."""

import pytest

from tests.support.api_user import Answer
from tests.support.app import check_problem
from tests.support.engine_harness import EngineHarness

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _make_outcome_unknown(agent: EngineHarness, name: str, fault: str) -> tuple[Answer, str]:
    """Approve a change whose answer is lost by this fault; return the answer to the request and the call."""
    asked = await agent.me.ask(f"set {name}=1")
    agent.counting.control(fault=fault, tool="change_thing")
    done = await agent.me.decide(asked, asked.waiting[0])
    assert done["tool.unknown"]["call_id"] == asked.waiting[0]
    assert "unknown" in done.text
    return asked, asked.waiting[0]


@pytest.mark.promise("unknown", "once")
async def test_lost_answer_is_unknown_until_tool_server_proves_it(agent: EngineHarness) -> None:
    _, call = await _make_outcome_unknown(agent, "lost", "drop")
    assert (await agent.me.approval(call))["outcome"] == "unknown"
    settled = (await agent.me.verify(call)).json()
    assert settled["outcome"] == "succeeded"
    assert settled["history"][-1]["by"] == "the tool server"
    assert agent.effects_of("lost") == ["1"]
    check_problem(await agent.me.verify(call), 409)


@pytest.mark.promise("unknown")
async def test_undelivered_change_is_proven_not_applied(agent: EngineHarness) -> None:
    _, call = await _make_outcome_unknown(agent, "never", "drop_before")
    settled = (await agent.me.verify(call)).json()
    assert settled["outcome"] == "not_applied"
    assert agent.effects_of("never") == []


@pytest.mark.promise("unknown")
async def test_user_settles_outcome_without_proof(agent: EngineHarness) -> None:
    asked, call = await _make_outcome_unknown(agent, "partly", "error_partial")
    looked = (await agent.me.verify(call)).json()
    assert looked["outcome"] == "unknown"
    assert looked["evidence"]["verdict"] in ("looks_applied", "looks_not_applied", "cannot_tell")
    settled = (await agent.me.verify(call, outcome="applied", reason="I looked at it myself")).json()
    assert settled["outcome"] == "applied"
    assert settled["history"][-1]["by"] == "local"
    timeline = await agent.me.timeline(asked.conversation_id)
    assert timeline[1]["segments"][0]["toolExecution"]["status"] == "completed"


@pytest.mark.promise("unknown")
async def test_approval_must_name_conflicting_unknown_outcome(agent: EngineHarness) -> None:
    _, call = await _make_outcome_unknown(agent, "beside", "error_partial")
    again = await agent.me.ask("set beside=2")
    refused = check_problem(await agent.me.post_decision(again, again.waiting[0]), 409)
    assert refused["unknown"] == call
    await agent.me.decide(again, again.waiting[0], despite_unknown=[call])
    assert agent.effects_of("beside")[-1] == "2"


@pytest.mark.promise("unknown")
async def test_later_changes_do_not_start_after_failed_one(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set failing=1 and after=2")
    first, second = asked.waiting
    await agent.me.decide(asked, second)
    agent.counting.control(fault="error_none", tool="change_thing")
    done = await agent.me.decide(asked, first)
    assert done["tool.superseded"]["call_id"] == second
    assert agent.effects_of("after") == []
