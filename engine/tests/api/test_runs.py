"""Runs, over HTTP: one at a time, stopped for good, sent once, and going on whoever watches."""

import asyncio
from uuid import uuid4

import pytest

from src.api.schemas.query import Where
from src.api.schemas.records import JournalEvent
from tests.support.app import problem
from tests.support.main_job import Job
from tests.support.person import Answer, read_events
from tests.support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _begun(job: Job, text: str, until: str = "token", **body: object) -> Answer:
    """Asks, and leaves at the first event of this type."""
    seen = []
    async with job.me.asking(text, **body) as response:
        async for event in read_events(response):
            seen.append(event)
            if event["type"] == until:
                break
    return Answer(seen)


async def _ended(job: Job, answer: Answer) -> Answer:
    return await job.me.follow(answer.run_id)


@pytest.mark.promise("detached", "replay")
async def test_a_reader_who_leaves_and_comes_back_gets_the_whole_text(job: Job) -> None:
    seen = []
    async with job.me.asking("speak at length") as response:
        async for event in read_events(response):
            seen.append(event)
            if len(Answer(seen).all("token")) == 20:
                break
    rest = await job.me.follow(Answer(seen).run_id, after=seen[-1]["seq"])
    words = (Answer(seen).text + rest.text).split()
    assert words == [f"word{n}" for n in range(150)]
    assert rest.last["type"] == "workflow_complete"


@pytest.mark.promise("detached")
@pytest.mark.parametrize("event", ["ready", "generation.start", "tools.pending", "tool.executing"])
async def test_a_run_goes_on_when_nobody_watches(job: Job, event: str) -> None:
    left = await _begun(job, "read the thing", until=event)
    whole = await _ended(job, left)
    assert whole.last["status"] == "completed"
    assert whole["tool.result"]


@pytest.mark.promise("one-run")
async def test_a_second_message_is_refused_while_a_run_is_under_way(job: Job) -> None:
    running = await _begun(job, "speak slowly")
    refused = problem(await job.me.asked("hello", conversation_id=running.conversation_id), 409)
    assert refused["run_id"] == running.run_id
    await job.me.stop(running.conversation_id, running.run_id)


@pytest.mark.promise("one-run")
async def test_a_message_can_wait_for_its_turn(job: Job) -> None:
    running = await _begun(job, "speak at length")
    second = await job.me.ask("hello", conversation_id=running.conversation_id, on_busy="enqueue")
    assert second.text == "Hello."
    first = await _ended(job, running)
    assert first.last["status"] == "completed"
    assert first.last["timestamp"] <= second["generation.start"]["timestamp"]
    said = [entry["content"] for entry in await job.me.timeline(running.conversation_id)]
    assert said[0] == "speak at length"
    assert said[2:] == ["hello", "Hello."]


@pytest.mark.promise("one-run")
async def test_a_message_can_interrupt(job: Job) -> None:
    running = await _begun(job, "speak slowly")
    second = await job.me.ask("hello", conversation_id=running.conversation_id, on_busy="interrupt")
    assert second.text == "Hello."
    assert (await _ended(job, running)).last["status"] == "stopped"


@pytest.mark.promise("one-run")
async def test_an_enqueued_message_waits_for_the_decisions(job: Job) -> None:
    asked = await job.me.ask("set waiting=1")
    waiting = await _begun(job, "hello", until="ready", conversation_id=asked.conversation_id, on_busy="enqueue")
    await job.me.decide(asked, asked.waiting[0])
    assert (await _ended(job, waiting)).text == "Hello."
    assert job.effects_of("waiting") == ["1"]


@pytest.mark.promise("stop")
async def test_stop_ends_the_text_and_closes_the_models_connection(job: Job) -> None:
    running = await _begun(job, "speak slowly")
    assert (await job.me.stop(running.conversation_id, running.run_id)).json()["status"] == "stopped"
    whole = await _ended(job, running)
    assert whole.last["status"] == "stopped"
    assert whole["generation.complete"]["finish_reason"] == "stopped"
    assert 0 < len(whole.text.split()) < 300
    assert job.model.asked[-1].ended == "closed"
    again = await job.me.stop(running.conversation_id, running.run_id)
    assert again.status_code == 200
    [_, entry] = await job.me.timeline(running.conversation_id)
    assert entry["segments"][0]["finish_reason"] == "stopped"
    assert entry["segments"][0]["text"] == whole.text


@pytest.mark.promise("stop")
async def test_stop_cancels_a_read_in_the_middle(job: Job) -> None:
    running = await _begun(job, "read slowly", until="tool.executing")
    await job.me.stop(running.conversation_id, running.run_id)
    assert (await _ended(job, running)).last["status"] == "stopped"


@pytest.mark.promise("stop", "no-approval-no-effect")
async def test_stop_ends_what_waits_for_a_decision(job: Job) -> None:
    asked = await job.me.ask("set stopped=1")
    await job.me.stop(asked.conversation_id, asked.run_id)
    problem(await job.me.decided(asked, asked.waiting[0]), 409)
    assert job.effects_of("stopped") == []


@pytest.mark.promise("stop")
async def test_stop_does_not_cut_a_change_that_is_under_way(job: Job) -> None:
    asked = await job.me.ask("set underway=1")
    job.counting.order(fault="slow", tool="change_thing")
    deciding = asyncio.create_task(job.me.decide(asked, asked.waiting[0]))
    await eventually(lambda: _has_begun(job, asked))
    await job.me.stop(asked.conversation_id, asked.run_id)
    done = await deciding
    assert done["tool.result"]
    assert done.last["status"] == "stopped"
    assert job.effects_of("underway") == ["1"]


async def _has_begun(job: Job, answer: Answer) -> bool:
    """Whether a call of the run has gone out."""
    where: Where = {"run_id": answer.run_id, "type": "tool.executing"}
    return bool(await job.running.services.chat._store.read(lambda reader: reader.find(JournalEvent, where, "n")))


@pytest.mark.promise("send-once")
async def test_the_same_key_and_body_attach_to_the_same_run(job: Job) -> None:
    key = str(uuid4())
    answers = await asyncio.gather(*(job.me.ask("hello", key=key) for _ in range(8)))
    assert len({answer.run_id for answer in answers}) == 1
    assert {answer.text for answer in answers} == {"Hello."}


@pytest.mark.promise("send-once")
async def test_the_same_key_with_another_body_is_refused(job: Job) -> None:
    key = str(uuid4())
    await job.me.ask("hello", key=key)
    with pytest.raises(AssertionError, match="422"):
        await job.me.ask("hello again", key=key)


async def test_edit_and_resend_folds_the_old_branch_away(job: Job) -> None:
    first = await job.me.ask("hello")
    [said, _] = await job.me.timeline(first.conversation_id)
    await job.me.ask("read the thing", conversation_id=first.conversation_id, replaces=said["id"])
    timeline = await job.me.timeline(first.conversation_id)
    assert [entry["type"] for entry in timeline] == ["user", "assistant"]
    assert timeline[0]["replaces"] == said["id"]


async def test_five_slow_reads_run_at_the_same_time(job: Job) -> None:
    """None of them answers before all have come."""
    answer = await job.me.ask("read five")
    assert len(answer.all("tool.result")) == 5


@pytest.mark.promise("ordered")
async def test_numbers_strictly_increase(job: Job) -> None:
    answer = await job.me.ask("read the thing")
    numbers = [event["seq"] for event in answer.events if "seq" in event]
    assert numbers == sorted(set(numbers))
