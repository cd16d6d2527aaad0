"""Runs over HTTP: one per conversation, final stops, idempotent requests, independent of their readers."""

import asyncio
from uuid import uuid4

import pytest

from src.api.schemas.query import Where
from src.api.schemas.records import JournalEvent
from tests.support.api_user import Answer, read_events
from tests.support.app import check_problem
from tests.support.engine_harness import EngineHarness
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _start_run(agent: EngineHarness, text: str, until: str = "token", **body: object) -> Answer:
    """Send a message and close the stream at the first event of this type."""
    seen = []
    async with agent.me.open_chat(text, **body) as response:
        async for event in read_events(response):
            seen.append(event)
            if event["type"] == until:
                break
    return Answer(seen)


async def _follow_to_end(agent: EngineHarness, answer: Answer) -> Answer:
    return await agent.me.follow(answer.run_id)


@pytest.mark.promise("detached", "replay")
async def test_reconnecting_reader_gets_whole_text(agent: EngineHarness) -> None:
    seen = []
    async with agent.me.open_chat("speak at length") as response:
        async for event in read_events(response):
            seen.append(event)
            if len(Answer(seen).all("token")) == 20:
                break
    rest = await agent.me.follow(Answer(seen).run_id, after=seen[-1]["seq"])
    received_words = (Answer(seen).text + rest.text).split()
    assert received_words == [f"word{n}" for n in range(150)]
    assert rest.last["type"] == "workflow_complete"


@pytest.mark.promise("detached")
@pytest.mark.parametrize("event", ["ready", "generation.start", "tools.pending", "tool.executing"])
async def test_run_continues_without_readers(agent: EngineHarness, event: str) -> None:
    left = await _start_run(agent, "read the thing", until=event)
    whole = await _follow_to_end(agent, left)
    assert whole.last["status"] == "completed"
    assert whole["tool.result"]


@pytest.mark.promise("one-run")
async def test_second_message_is_refused_during_run(agent: EngineHarness) -> None:
    running = await _start_run(agent, "speak slowly")
    refused = check_problem(await agent.me.post_message("hello", conversation_id=running.conversation_id), 409)
    assert refused["run_id"] == running.run_id
    await agent.me.stop(running.conversation_id, running.run_id)


@pytest.mark.promise("one-run")
async def test_enqueued_message_runs_after_current_run(agent: EngineHarness) -> None:
    running = await _start_run(agent, "speak at length")
    second = await agent.me.ask("hello", conversation_id=running.conversation_id, on_busy="enqueue")
    assert second.text == "Hello."
    first = await _follow_to_end(agent, running)
    assert first.last["status"] == "completed"
    assert first.last["timestamp"] <= second["generation.start"]["timestamp"]
    said = [entry["content"] for entry in await agent.me.timeline(running.conversation_id)]
    assert said[0] == "speak at length"
    assert said[2:] == ["hello", "Hello."]


@pytest.mark.promise("one-run")
async def test_interrupting_message_stops_current_run(agent: EngineHarness) -> None:
    running = await _start_run(agent, "speak slowly")
    second = await agent.me.ask("hello", conversation_id=running.conversation_id, on_busy="interrupt")
    assert second.text == "Hello."
    assert (await _follow_to_end(agent, running)).last["status"] == "stopped"


@pytest.mark.promise("one-run")
async def test_enqueued_message_waits_for_pending_approvals(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set waiting=1")
    waiting = await _start_run(agent, "hello", until="ready", conversation_id=asked.conversation_id, on_busy="enqueue")
    await agent.me.decide(asked, asked.waiting[0])
    assert (await _follow_to_end(agent, waiting)).text == "Hello."
    assert agent.effects_of("waiting") == ["1"]


@pytest.mark.promise("stop")
async def test_stop_ends_text_and_closes_model_connection(agent: EngineHarness) -> None:
    running = await _start_run(agent, "speak slowly")
    assert (await agent.me.stop(running.conversation_id, running.run_id)).json()["status"] == "stopped"
    whole = await _follow_to_end(agent, running)
    assert whole.last["status"] == "stopped"
    assert whole["generation.complete"]["finish_reason"] == "stopped"
    assert 0 < len(whole.text.split()) < 300
    usage = whole["token.usage"]
    assert (usage["estimated"], usage["completion_tokens"]) == (True, -(-len(whole.text) // 3))
    assert usage["prompt_tokens"] > 200, "system prompt and tools"
    assert agent.model.requests[-1].ended == "closed"
    again = await agent.me.stop(running.conversation_id, running.run_id)
    assert again.status_code == 200
    [_, entry] = await agent.me.timeline(running.conversation_id)
    assert entry["segments"][0]["finish_reason"] == "stopped"
    assert entry["segments"][0]["text"] == whole.text


@pytest.mark.promise("stop")
async def test_stop_cancels_running_read(agent: EngineHarness) -> None:
    running = await _start_run(agent, "read slowly", until="tool.executing")
    await agent.me.stop(running.conversation_id, running.run_id)
    assert (await _follow_to_end(agent, running)).last["status"] == "stopped"


@pytest.mark.promise("stop", "no-approval-no-effect")
async def test_stop_ends_pending_approval(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set stopped=1")
    await agent.me.stop(asked.conversation_id, asked.run_id)
    check_problem(await agent.me.post_decision(asked, asked.waiting[0]), 409)
    assert agent.effects_of("stopped") == []


@pytest.mark.promise("stop")
async def test_stop_waits_for_started_change(agent: EngineHarness) -> None:
    asked = await agent.me.ask("set underway=1")
    agent.counting.control(fault="slow", tool="change_thing")
    deciding = asyncio.create_task(agent.me.decide(asked, asked.waiting[0]))
    await eventually(lambda: _has_started_call(agent, asked))
    await agent.me.stop(asked.conversation_id, asked.run_id)
    done = await deciding
    assert done["tool.result"]
    assert done.last["status"] == "stopped"
    assert agent.effects_of("underway") == ["1"]


async def _has_started_call(agent: EngineHarness, answer: Answer) -> bool:
    """Tell whether a call of the run has started."""
    where: Where = {"run_id": answer.run_id, "type": "tool.executing"}
    return bool(await agent.running.services.chat.store.read(lambda reader: reader.find(JournalEvent, where, "n")))


@pytest.mark.promise("send-once")
async def test_same_key_and_body_attach_to_same_run(agent: EngineHarness) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(agent.me.ask("hello", key=key) for _ in range(8)))
    assert len({answer.run_id for answer in answers}) == 1
    assert {answer.text for answer in answers} == {"Hello."}


@pytest.mark.promise("send-once")
async def test_same_key_with_another_body_is_refused(agent: EngineHarness) -> None:
    key = str(uuid4())
    await agent.me.ask("hello", key=key)
    with pytest.raises(AssertionError, match="422"):
        await agent.me.ask("hello again", key=key)


async def test_edited_message_replaces_old_branch(agent: EngineHarness) -> None:
    first = await agent.me.ask("hello")
    [said, _] = await agent.me.timeline(first.conversation_id)
    await agent.me.ask("read the thing", conversation_id=first.conversation_id, replaces=said["id"])
    timeline = await agent.me.timeline(first.conversation_id)
    assert [entry["type"] for entry in timeline] == ["user", "assistant"]
    assert timeline[0]["replaces"] == said["id"]


async def test_five_slow_reads_run_at_the_same_time(agent: EngineHarness) -> None:
    """None of the reads answers before all have arrived."""
    answer = await agent.me.ask("read five")
    assert len(answer.all("tool.result")) == 5


@pytest.mark.promise("ordered")
async def test_event_numbers_strictly_increase(agent: EngineHarness) -> None:
    answer = await agent.me.ask("read the thing")
    numbers = [event["seq"] for event in answer.events if "seq" in event]
    assert numbers == sorted(set(numbers))
