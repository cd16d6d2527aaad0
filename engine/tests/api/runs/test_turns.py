"""Model turns over HTTP: bad calls are reported, corrected or ended, and never have an effect."""

import pytest

from tests.support.engine_harness import EngineHarness

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ("unknown tool", "no tool `change_thin`"),
        ("wrong arguments", "value"),
        ("broken json", "not valid JSON"),
    ],
)
@pytest.mark.promise("fail-closed")
async def test_invalid_call_is_reported_to_model(agent: EngineHarness, message: str, problem: str) -> None:
    before = agent.counting.requests()
    answer = await agent.me.ask(message)
    assert problem in answer["tool.error"]["error"]
    assert answer.last["status"] == "completed"
    assert problem in answer.text
    assert agent.counting.requests() == before


@pytest.mark.promise("whole-calls")
async def test_cut_model_stream_is_reported_to_user(agent: EngineHarness) -> None:
    answer = await agent.me.ask("cut it")
    assert len(answer.all("retry")) == 3
    assert answer.last["type"] == "workflow_error"
    assert answer.last["code"] == "model_cut"
    [_, entry] = await agent.me.timeline(answer.conversation_id)
    assert entry["segments"][-1]["text"] == "half of "
    assert entry["segments"][-1]["finish_reason"] == "error"


async def test_busy_provider_is_retried(agent: EngineHarness) -> None:
    answer = await agent.me.ask("busy once")
    assert answer["retry"]["attempt"] == 1
    assert answer.all("generation.start")[1]["replaces"] == answer.all("generation.start")[0]["generation_id"]
    assert answer.text == "Hello."


async def test_ttft_is_sent_once_by_first_turn_with_text(agent: EngineHarness) -> None:
    for message, turn in (("speak at length", 0), ("look, then speak", 1)):
        answer = await agent.me.ask(message)
        assert answer.types.count("ttft") == 1
        assert answer.types[: answer.types.index("ttft")].count("generation.complete") == turn
        [*_, entry] = await agent.me.timeline(answer.conversation_id)
        assert entry["token_usage"]["ttft_ms"] == answer["ttft"]["duration"]


async def test_model_refusal_is_not_retried(agent: EngineHarness) -> None:
    answer = await agent.me.ask("refuse me")
    assert "retry" not in answer.types
    assert answer.last["code"] == "model_refused"


async def test_empty_reply_is_retried_once_and_reported(agent: EngineHarness) -> None:
    answer = await agent.me.ask("say nothing")
    assert "no answer" in answer.text
    assert answer.last["status"] == "completed"


@pytest.mark.promise("bounded")
async def test_turn_limit_ends_loop_with_message(agent: EngineHarness) -> None:
    answer = await agent.me.ask("for ever")
    assert answer.last["status"] == "completed"
    assert "25" in answer.all("generation.complete")[-1]["content"]
    assert len(answer.all("tool.result")) == 25


@pytest.mark.promise("prompt-injection")
async def test_results_reach_model_as_data(agent: EngineHarness) -> None:
    await agent.me.ask("read the thing")
    [*_, result] = agent.model.requests[-1].body["messages"]
    assert result["role"] == "tool"
    assert result["content"].startswith("<tool-result ")
