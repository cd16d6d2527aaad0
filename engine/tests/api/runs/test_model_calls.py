"""Calls of models: nulls, repetition, what the model learns of its calls, and characters that can't be stored."""

import json

import pytest

from tests.support.engine_harness import EngineHarness
from tests.support.model_host import READ, Host, assistant_message, call_arguments, rule, said, sent_messages
from tests.support.model_script import Call, Step, text

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_null_for_optional_argument_counts_as_left_out(agent: EngineHarness, host: Host) -> None:
    host(
        rule(said(Step(calls=[Call(name="slow_read", arguments={"ms": 1, "steps": None})])), results=0),
        rule(said(text("Done."))),
    )
    answer = await agent.me.ask("read")
    assert answer["tool.executing"]["args"] == {"ms": 1}
    assert "tool.error" not in answer.types


async def test_null_for_required_argument_is_told(agent: EngineHarness, host: Host) -> None:
    call = Call(name="change_thing", arguments={"name": "a", "value": None, "cluster": None})
    host(rule(said(Step(calls=[call])), results=0), rule(said(text("Done."))))
    answer = await agent.me.ask("change")
    assert "`value` must be string, not null" in answer["tool.error"]["error"]
    assert "cluster" not in answer["tool.error"]["error"]


async def test_equal_calls_are_refused_after_three_and_end_the_run(agent: EngineHarness, host: Host) -> None:
    host(rule(said(READ)))
    answer = await agent.me.ask("look at it")
    assert (len(answer.all("tool.result")), len(answer.all("tool.error"))) == (3, 2)
    assert "exactly this call 3 times in a row" in sent_messages(agent)[-1]["content"]
    assert answer.last["status"] == "completed"
    assert "same call" in answer.all("generation.complete")[-1]["content"]
    assert len(agent.model.requests) == 5


async def test_cycle_of_calls_is_noticed(agent: EngineHarness, host: Host) -> None:
    reads = [Step(calls=[Call(name="read_thing", arguments={"name": name})]) for name in ("a", "b")]
    host(*(rule(said(reads[n % 2]), results=n) for n in range(25)))
    answer = await agent.me.ask("look at them")
    assert len(answer.all("tool.result")) == 6
    assert answer.last["status"] == "completed"


async def test_model_that_heeds_the_refusal_goes_on(agent: EngineHarness, host: Host) -> None:
    host(rule(said(text("Done.")), last_result="3 times in a row"), rule(said(READ)))
    answer = await agent.me.ask("look at it")
    assert answer.text == "Done."


@pytest.mark.promise("no-approval-no-effect")
async def test_call_that_never_ran_is_told_as_that(agent: EngineHarness, host: Host) -> None:
    call = Call(name="change_thing", arguments={"name": "a", "valu": "1"})
    host(rule(said(Step(calls=[call])), results=0), rule(said(text("Done."))))
    await agent.me.ask("change")
    told = sent_messages(agent)[-1]["content"]
    assert told.startswith("The call did not run: nothing was changed.\n")
    assert told.count("It takes no `valu`") == 1
    assert call_arguments(assistant_message(agent)) == {"name": "a", "valu": "1"}


@pytest.mark.promise("no-approval-no-effect")
@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("error_none", "The call did not run: nothing was changed."),
        ("error_done", "The outcome of this call is unknown"),
    ],
)
async def test_model_is_told_what_the_effect_proves(agent: EngineHarness, host: Host, fault: str, told: str) -> None:
    call = Call(name="change_thing", arguments={"name": fault, "value": "1"})
    host(rule(said(Step(calls=[call])), results=0), rule(said(text("Done."))))
    asked = await agent.me.ask("change")
    agent.counting.control(fault=fault, tool="change_thing")
    await agent.me.decide(asked, asked.waiting[0])
    result = sent_messages(agent)[-1]["content"]
    assert result.startswith(told)
    assert result.count("nothing was changed") <= 2


async def test_model_gets_its_own_calls_back_as_they_were(agent: EngineHarness, host: Host) -> None:
    value = "env: [{name: API_TOKEN, value: a-value-that-works}] # as I wrote it"
    call = Call(name="change_thing", arguments={"name": "a", "value": value})
    host(rule(said(Step(calls=[call])), results=0), rule(said(text("Done."))))
    asked = await agent.me.ask("change")
    assert "a-value-that-works" not in json.dumps(asked.events)
    await agent.me.decide(asked, asked.waiting[0], approve=False)
    assert call_arguments(assistant_message(agent))["value"] == value


@pytest.mark.promise("secrets")
async def test_values_of_a_secret_do_not_come_back_and_model_is_told(agent: EngineHarness, host: Host) -> None:
    manifest = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {password: canary-of-a-secret}\n"
    call = Call(name="change_thing", arguments={"name": "a", "value": manifest})
    host(rule(said(Step(calls=[call])), results=0), rule(said(text("Done."))))
    asked = await agent.me.ask("change")
    await agent.me.decide(asked, asked.waiting[0], approve=False)
    assert "canary-of-a-secret" not in json.dumps(sent_messages(agent))
    assert "never send a mask back" in sent_messages(agent)[-1]["content"]


async def test_edited_call_is_told_as_edited(agent: EngineHarness, host: Host) -> None:
    call = Call(name="change_thing", arguments={"name": "a", "value": "1"})
    host(rule(said(Step(calls=[call])), results=0), rule(said(text("Done."))))
    asked = await agent.me.ask("change")
    edited = await agent.me.decide(asked, asked.waiting[0], args={"name": "a", "value": "2", "cluster": None})
    await agent.me.decide(asked, edited.waiting[0])
    assert call_arguments(assistant_message(agent))["value"] == "1"
    assert 'A person changed the arguments of this call before it ran. What counted: {"name":"a","value":"2"}' in (
        sent_messages(agent)[-1]["content"]
    )


NUL_ESCAPE = "\\u0000 and \\\\u0000"


async def test_backslash_and_u0000_are_text_everywhere(agent: EngineHarness, host: Host) -> None:
    call = Call(name="change_thing", arguments={"name": "escape", "value": NUL_ESCAPE})
    read = Call(name="read_thing", arguments={"name": "escape"})
    host(
        rule(said(Step(calls=[call])), results=0),
        rule(said(Step(calls=[read])), results=1),
        rule(said(Step(text=f"It is {NUL_ESCAPE}."))),
    )
    asked = await agent.me.ask(f"set it to {NUL_ESCAPE}")
    done = await agent.me.decide(asked, asked.waiting[0])
    assert agent.effects_of("escape") == [NUL_ESCAPE]
    assert done.text == f"It is {NUL_ESCAPE}."
    [_, read_result] = done.all("tool.result")
    assert json.loads(read_result["result"][0]["text"])["value"] == NUL_ESCAPE
    renamed = await agent.me.client.patch(f"/conversations/{asked.conversation_id}", json={"title": NUL_ESCAPE})
    assert renamed.status_code == 200
    read_back = (await agent.me.client.get(f"/conversations/{asked.conversation_id}")).json()
    assert read_back["title"] == NUL_ESCAPE
    assert read_back["messages"][0]["content"] == f"set it to {NUL_ESCAPE}"


async def test_real_nul_is_refused_or_replaced(agent: EngineHarness, host: Host) -> None:
    call = Call(name="change_thing", arguments='{"name":"a","value":"\\u0000"}')
    host(rule(said(Step(calls=[call])), results=0), rule(said(Step(text="a\x00b"))))
    answer = await agent.me.ask("change")
    assert "NUL" in answer["tool.error"]["error"]
    assert answer.text == "a\ufffdb"
    assert (await agent.me.post_message("a\x00b")).status_code == 400
