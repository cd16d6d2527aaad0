"""Further tool servers in a whole engine: budget, toolsets of a conversation, and what people can read about them."""

import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chat_script import CHAT_SCRIPT
from tests.support.counting_process import ENGINE, CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.model_host import refusal, rule
from tests.support.model_script import Script
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually

OWN = {"read_thing", "slow_read", "change_thing", "wipe_thing"}


def entry(name: str, case: str, **more: Any) -> dict[str, Any]:
    args = ["-m", "tests.support.hostile_mcp", case]
    here = {"command": sys.executable, "args": args, "cwd": str(ENGINE), "env": {"PYTHONPATH": str(ENGINE)}}
    return {"name": name, **here, **more}


@pytest.fixture
async def harness(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> AsyncIterator[EngineHarness]:
    """An engine with our own tools, a small server and one that lists 5,000 tools."""
    servers = json.dumps([entry("small", "Plain"), entry("huge", "HugeList", max_tokens=3000)])
    scripted_model.reset()
    async with open_engine_harness(tmp_path, counting, scripted_model, mcp_servers=servers) as made:

        async def is_complete() -> bool:
            known = (await made.me.client.get("/agent/tools")).json()["toolsets"]
            return {"small", "huge"} <= {each["name"] for each in known}

        await eventually(is_complete, what="both servers")
        yield made


def offered(model: ScriptedModel) -> set[str]:
    """Return the names of the tools in the last request to the model."""
    return {tool["function"]["name"] for tool in model.requests[-1].body["tools"]}


@pytest.mark.promise("bounded")
async def test_huge_server_takes_its_budget_and_what_is_left_out_is_said(
    harness: EngineHarness, scripted_model: ScriptedModel
) -> None:
    answer = await harness.me.ask("Hello")
    assert answer.last["type"] == "workflow_complete"
    request = scripted_model.requests[-1].body
    assert len(json.dumps(request)) < 60_000
    assert OWN | {"look", "change", "environment"} <= offered(scripted_model)
    assert "additionalProperties" not in json.dumps(request["tools"])
    assert "of the server huge" in request["messages"][0]["content"]
    listed = (await harness.me.client.get("/agent/tools")).json()
    assert {tool["name"] for tool in listed["tools"]} == offered(scripted_model)
    reasons = [each["reason"] for each in listed["omitted"] if each["server"] == "huge"]
    assert ["more than 512" in reasons[0], "budget of 3000 tokens" in reasons[1]] == [True, True]
    ready = (await harness.me.client.get("/health/ready")).json()
    servers = next(one for one in ready["dependencies"] if one["name"] == "tool servers")
    assert servers["state"] == "degraded"
    assert "huge" in servers["hint"]
    scripted_model.script = Script(rules=[rule(refusal("The prompt is too long for this model.", status=413))])
    try:
        errors = [(await harness.me.ask("Hello")).last["error"] for _ in range(4)]
    finally:
        scripted_model.script = CHAT_SCRIPT
    assert re.search(r"Its \d+ tools alone take about [\d,]+ tokens: choose fewer toolsets\.", errors[-1])


async def test_toolsets_narrow_a_conversation_until_they_are_changed(
    harness: EngineHarness, scripted_model: ScriptedModel
) -> None:
    first = await harness.me.ask("Hello", toolsets=["small"])
    assert offered(scripted_model) == {"look", "change", "environment"}
    identifier = first.conversation_id
    await harness.me.ask("Again", conversation_id=identifier)
    assert offered(scripted_model) == {"look", "change", "environment"}
    path = f"/conversations/{identifier}"
    assert (await harness.me.client.get(path)).json()["conversation_metadata"] == {"toolsets": ["small"]}
    metadata = {"conversation_metadata": {"theme": "dark", "toolsets": ["huge/t4999", "skyflo/read_thing"]}}
    assert (await harness.me.client.patch(path, json=metadata)).status_code == 200
    await harness.me.ask("And now?", conversation_id=identifier)
    assert offered(scripted_model) == {"read_thing"}
    await harness.me.ask("All", conversation_id=identifier, toolsets=[])
    assert offered(scripted_model) >= OWN
    assert (await harness.me.client.get(path)).json()["conversation_metadata"] == {"theme": "dark"}


async def test_unknown_toolset_is_refused_with_the_known_ones(harness: EngineHarness) -> None:
    refused = await harness.me.post_message("Hello", toolsets=["smal"])
    assert refused.status_code == 422
    assert "small" in refused.json()["detail"]
    assert (await harness.me.client.get("/conversations")).json()["data"] == []
