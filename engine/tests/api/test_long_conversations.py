"""Several runs in one conversation: what the model is told of the earlier ones, and which wait for which."""

import pytest

from tests.support.main_job import Job
from tests.support.person import read_events

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_later_run_is_told_of_its_own_calls(each_job: Job) -> None:
    first = await each_job.me.ask("read the thing")
    later = await each_job.me.ask("set again=1", conversation_id=first.conversation_id)
    done = await each_job.me.decide(later, later.waiting[0])
    assert len(done.all("tool.result")) == 1
    assert done.text.startswith("One result: ")
    assert "changed" in done.text


@pytest.mark.promise("one-run")
async def test_what_an_interrupted_run_still_says_is_folded_with_its_message(each_job: Job) -> None:
    async with each_job.me.asking("speak slowly") as first:
        begun = await anext(event async for event in read_events(first) if event["type"] == "token")
        here = begun["conversation_id"]
        timeline = await each_job.me.timeline(here)
        answer = await each_job.me.ask("hello", conversation_id=here, on_busy="interrupt", replaces=timeline[0]["id"])
    assert answer.text == "Hello."
    assert [entry["content"] for entry in await each_job.me.timeline(here)] == ["hello", "Hello."]
    sent = [message["content"] for message in each_job.model.asked[-1].body["messages"]]
    assert sent[1:] == ["hello"]
