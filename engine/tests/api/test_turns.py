"""Turns of the model, over HTTP: what goes wrong is told, corrected or ended, and never becomes an effect."""

import pytest

from tests.support.main_job import Job

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("unknown tool", "no tool `change_thin`"),
        ("wrong arguments", "value"),
        ("broken json", "not valid JSON"),
    ],
)
@pytest.mark.promise("fail-closed")
async def test_a_call_that_can_not_run_is_told_to_the_model(job: Job, said: str, told: str) -> None:
    before = job.counting.requests()
    answer = await job.me.ask(said)
    assert told in answer["tool.error"]["error"]
    assert answer.last["status"] == "completed"
    assert told in answer.text
    assert job.counting.requests() == before


@pytest.mark.promise("whole-calls")
async def test_a_stream_that_was_cut_is_told_to_the_user(job: Job) -> None:
    answer = await job.me.ask("cut it")
    assert len(answer.all("retry")) == 3
    assert answer.last["type"] == "workflow_error"
    assert answer.last["code"] == "model_cut"
    [_, entry] = await job.me.timeline(answer.conversation_id)
    assert entry["segments"][-1]["text"] == "half of "
    assert entry["segments"][-1]["finish_reason"] == "error"


async def test_a_busy_provider_is_asked_again(job: Job) -> None:
    answer = await job.me.ask("busy once")
    assert answer["retry"]["attempt"] == 1
    assert answer.all("generation.start")[1]["replaces"] == answer.all("generation.start")[0]["generation_id"]
    assert answer.text == "Hello."


async def test_the_first_token_is_announced_once_whichever_turn_brings_it(job: Job) -> None:
    for said, turn in (("speak at length", 0), ("look, then speak", 1)):
        answer = await job.me.ask(said)
        assert answer.types.count("ttft") == 1
        assert answer.types[: answer.types.index("ttft")].count("generation.complete") == turn
        [*_, entry] = await job.me.timeline(answer.conversation_id)
        assert entry["token_usage"]["ttft_ms"] == answer["ttft"]["duration"]


async def test_a_refusal_is_not_repeated(job: Job) -> None:
    answer = await job.me.ask("refuse me")
    assert "retry" not in answer.types
    assert answer.last["code"] == "model_refused"


async def test_an_empty_reply_is_asked_for_once_more_and_then_said(job: Job) -> None:
    answer = await job.me.ask("say nothing")
    assert "no answer" in answer.text
    assert answer.last["status"] == "completed"


@pytest.mark.promise("bounded")
async def test_a_loop_ends_with_a_sentence(job: Job) -> None:
    answer = await job.me.ask("for ever")
    assert answer.last["status"] == "completed"
    assert "25" in answer.all("generation.complete")[-1]["content"]
    assert len(answer.all("tool.result")) == 25


@pytest.mark.promise("data-not-orders")
async def test_results_reach_the_model_as_data(job: Job) -> None:
    await job.me.ask("read the thing")
    [*_, result] = job.model.asked[-1].body["messages"]
    assert result["role"] == "tool"
    assert result["content"].startswith("<tool-result ")
