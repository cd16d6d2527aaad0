"""Text that a user has seen stays, however the model's turn ends."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.api_user import Answer, ApiUser, read_events
from tests.support.chat_script import CHAT_SCRIPT
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.model_host import Host, refusal, rule, said
from tests.support.model_script import Script, Step, text
from tests.support.reducer import reduce
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

HALF = said(Step(thinking="First the events."), text("half of "), finish=None, done=False)
DOWN = refusal("overloaded", status=503)


async def shown(user: ApiUser, conversation_id: str) -> dict[str, Any]:
    """Return the text and thinking of the last answer, and how the text ended."""
    [*_, entry] = await user.timeline(conversation_id)
    segments = {segment["kind"]: segment for segment in entry["segments"]}
    texts = {kind: segment["text"] for kind, segment in segments.items()}
    return texts | {"finish": segments["text"]["finish_reason"]}


async def check_streams(user: ApiUser, answer: Answer, words: str) -> None:
    """Check that the stream and its replay end with this text."""
    assert reduce(answer.events).text == words
    replayed = await user.follow(answer.run_id)
    assert reduce(replayed.events).text == words


async def test_text_before_failed_retries_is_kept(agent: EngineHarness, host: Host) -> None:
    """The first attempt is cut; the others fail before they say anything."""
    host(rule(HALF, attempts=1), rule(refusal("no such key", status=401)))
    answer = await agent.me.ask("go on")
    assert answer.last["code"] == "model_refused"
    assert await shown(agent.me, answer.conversation_id) == {
        "thinking": "First the events.",
        "text": "half of ",
        "finish": "error",
    }
    await check_streams(agent.me, answer, "half of ")


async def test_text_of_the_last_attempt_that_spoke_is_kept(agent: EngineHarness, host: Host) -> None:
    other = said(text("another half "), finish=None, done=False)
    host(rule(HALF, attempts=1), rule(other, attempts=2), rule(refusal("no such key", status=401)))
    answer = await agent.me.ask("go on")
    assert (await shown(agent.me, answer.conversation_id))["text"] == "another half "
    await check_streams(agent.me, answer, "another half ")


@pytest.mark.promise("stop")
async def test_stop_during_a_retry_delay_keeps_the_text(agent: EngineHarness, host: Host) -> None:
    wait = {"retry-after": "25"}
    host(rule(HALF, attempts=1), rule(said(status=503, error={"error": {"message": "overloaded"}}, headers=wait)))
    async with agent.me.open_chat("go on") as response:
        events = []
        async for event in read_events(response):
            events.append(event)
            if event["type"] == "retry" and event["attempt"] == 2:
                assert event["retry_in"] == 25
                await agent.me.stop(event["conversation_id"], event["run_id"])
    answer = Answer(events)
    assert answer.last["status"] == "stopped"
    assert await shown(agent.me, answer.conversation_id) == {
        "thinking": "First the events.",
        "text": "half of ",
        "finish": "stopped",
    }
    await check_streams(agent.me, answer, "half of ")


@pytest.mark.promise("stop")
async def test_stop_during_the_first_retry_delay_keeps_the_text(agent: EngineHarness, host: Host) -> None:
    host(rule(HALF))
    async with agent.me.open_chat("go on") as response:
        events = []
        async for event in read_events(response):
            events.append(event)
            if event["type"] == "retry":
                await agent.me.stop(event["conversation_id"], event["run_id"])
    answer = Answer(events)
    assert (await shown(agent.me, answer.conversation_id))["text"] == "half of "
    await check_streams(agent.me, answer, "half of ")


@pytest.mark.parametrize("then", ["fails", "stops", "succeeds"])
async def test_text_before_a_shutdown_is_kept(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel, then: str
) -> None:
    """The next engine takes the run over. Without an answer of its own, it keeps what was said before."""
    scripted_model.reset()
    scripted_model.script = Script(rules=[rule(said(text("half of "), Step(until="never")))])
    try:
        async with open_engine_harness(tmp_path, counting, scripted_model) as engine:
            run_id, conversation_id = await _read_first_token(engine)
        ends = {
            "fails": refusal("no such key", status=401),
            "stops": said(hang=60.0),
            "succeeds": said(text("All of it.")),
        }
        scripted_model.script = Script(rules=[rule(ends[then])])
        async with open_engine_harness(tmp_path, counting, scripted_model) as engine:
            if then == "stops":
                await eventually(lambda: len(scripted_model.requests) == 2, what="the second request")
                await engine.me.stop(conversation_id, run_id)
            answer = await engine.me.follow(run_id)
            words = await shown(engine.me, conversation_id)
    finally:
        scripted_model.script = CHAT_SCRIPT
    assert words["text"] == ("All of it." if then == "succeeds" else "half of ")
    assert words["finish"] == {"fails": "error", "stops": "stopped", "succeeds": "stop"}[then]
    assert reduce(answer.events).text == words["text"]


async def _read_first_token(engine: EngineHarness) -> tuple[str, str]:
    async with engine.me.open_chat("go on") as response:
        async for event in read_events(response):
            if event["type"] == "token" and event["text"].endswith("of "):
                return event["run_id"], event["conversation_id"]
    raise AssertionError("the stream ended without a token")
