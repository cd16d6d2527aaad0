"""Several runs in one conversation: which earlier messages the model receives."""

import pytest

from tests.support.api_user import read_events
from tests.support.engine_harness import EngineHarness

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_later_run_receives_its_own_results(agent_per_database: EngineHarness) -> None:
    first = await agent_per_database.me.ask("read the thing")
    later = await agent_per_database.me.ask("set again=1", conversation_id=first.conversation_id)
    done = await agent_per_database.me.decide(later, later.waiting[0])
    assert len(done.all("tool.result")) == 1
    assert done.text.startswith("One result: ")
    assert "changed" in done.text


@pytest.mark.promise("one-run")
async def test_late_text_of_replaced_run_is_hidden(agent_per_database: EngineHarness) -> None:
    async with agent_per_database.me.open_chat("speak slowly") as first:
        begun = await anext(event async for event in read_events(first) if event["type"] == "token")
        conversation_id = begun["conversation_id"]
        timeline = await agent_per_database.me.timeline(conversation_id)
        answer = await agent_per_database.me.ask(
            "hello", conversation_id=conversation_id, on_busy="interrupt", replaces=timeline[0]["id"]
        )
    assert answer.text == "Hello."
    assert [entry["content"] for entry in await agent_per_database.me.timeline(conversation_id)] == ["hello", "Hello."]
    sent = [message["content"] for message in agent_per_database.model.requests[-1].body["messages"]]
    assert sent[1:] == ["hello"]
