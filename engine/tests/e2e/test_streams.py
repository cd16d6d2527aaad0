"""Test a client that disconnects during an answer and reconnects."""

import pytest

from tests.support.api_user import ApiUser, Event, read_events
from tests.support.model_script import Reply, Rule, Script, Step
from tests.support.product import Product

WORDS = [f"word{n} " for n in range(150)]
SPEAKS = Script(rules=[Rule(reply=Reply(steps=[Step(text="".join(WORDS), pieces=len(WORDS), delay=0.01)]))])


@pytest.mark.promise("detached", "replay")
async def test_client_that_reconnects_after_twenty_tokens_gets_the_whole_text(product: Product, me: ApiUser) -> None:
    product.model.script = SPEAKS
    seen: list[Event] = []
    async with me.open_chat("Speak at length") as response:
        async for event in read_events(response):
            seen.append(event)
            if sum(one["type"] == "token" for one in seen) == 20:
                break
    last = seen[-1]
    address = f"/agent/runs/{last['run_id']}/events"
    headers = {"Last-Event-ID": f"{last['run_id']}:{last['seq']}"}
    async with me.client.stream("GET", address, headers=headers) as response:
        seen += [event async for event in read_events(response)]
    assert "".join(event["text"] for event in seen if event["type"] == "token") == "".join(WORDS)
    numbers = [event["seq"] for event in seen if "seq" in event]
    assert numbers == sorted(set(numbers))
    assert seen[-1]["type"] == "workflow_complete"
    assert product.model.requests[-1].ended == "whole"
