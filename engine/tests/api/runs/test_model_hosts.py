"""Turns with models whose hosts differ: state that must go back, content in parts, calls written as text."""

import pytest

from tests.support.api_user import Answer
from tests.support.engine_harness import EngineHarness
from tests.support.model_host import READ, Host, Message, assistant_message, raw, refusal, rule, said, sent_messages
from tests.support.model_script import Step, text

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL = {"index": 0, "id": "a", "type": "function", "function": {"name": "read_thing", "arguments": '{"name":"a"}'}}


def thinking(answer: Answer) -> str:
    return "".join(event["text"] for event in answer.all("thinking"))


REASONING = "I should look at the thing."
SIGNED = {"type": "reasoning.text", "format": "x", "index": 0, "text": REASONING}
STATES: dict[str, tuple[list[Message], Message, Message]] = {
    "reasoning_content": (
        [{"reasoning_content": "I should look "}, {"reasoning_content": "at the thing."}, {"tool_calls": [CALL]}],
        {"reasoning_content": REASONING},
        {},
    ),
    "reasoning details in pieces, with a signature": (
        [
            {"reasoning_details": [{**SIGNED, "text": "I should look "}]},
            {"reasoning_details": [{**SIGNED, "text": "at the thing."}]},
            {"reasoning_details": [{"type": "reasoning.text", "index": 0, "signature": "c2ln"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "index": 1, "data": "b3BhcXVl"}]},
            {"tool_calls": [CALL]},
        ],
        {
            "reasoning_details": [
                {**SIGNED, "signature": "c2ln"},
                {"type": "reasoning.encrypted", "index": 1, "data": "b3BhcXVl"},
            ]
        },
        {},
    ),
    "thinking blocks": (
        [
            {"thinking_blocks": [{"type": "thinking", "thinking": "I should look at the thing."}]},
            {"thinking_blocks": [{"type": "thinking", "signature": "c2ln"}]},
            {"tool_calls": [CALL]},
        ],
        {"thinking_blocks": [{"type": "thinking", "thinking": REASONING, "signature": "c2ln"}]},
        {},
    ),
    "an unknown member of the message, beside known thinking": (
        [{"reasoning_text": REASONING}, {"reasoning_opaque": "b3BhcXVl"}, {"tool_calls": [CALL]}],
        {"reasoning_text": REASONING, "reasoning_opaque": "b3BhcXVl"},
        {},
    ),
    "a signature of the call": (
        [
            {"reasoning": REASONING},
            {"tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "c2ln"}}}]},
        ],
        {"reasoning": REASONING},
        {"extra_content": {"google": {"thought_signature": "c2ln"}}},
    ),
    "tags in the content": (
        [{"content": f"<think>{REASONING}</think>"}, {"tool_calls": [CALL]}],
        {"content": f"<think>{REASONING}</think>"},
        {},
    ),
    "thinking as a part of the content": (
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": REASONING}]}]},
            {"tool_calls": [CALL]},
        ],
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": REASONING}]}]},
        {},
    ),
}


@pytest.mark.parametrize("name", STATES)
async def test_state_of_a_turn_goes_back_with_it(agent: EngineHarness, host: Host, name: str) -> None:
    deltas, message, call = STATES[name]
    host(rule(raw(*deltas, finish="tool_calls"), results=0), rule(said(text("Done."))))
    answer = await agent.me.ask("look at it")
    assert (thinking(answer), answer.text) == (REASONING, "Done.")
    back = assistant_message(agent)
    assert {name: back.get(name) for name in message} == message
    assert {name: back["tool_calls"][0].get(name) for name in call} == call
    assert back["tool_calls"][0]["function"] == {"name": "read_thing", "arguments": '{"name":"a"}'}
    later = await agent.me.ask("and now?", conversation_id=answer.conversation_id)
    assert later.last["status"] == "completed"
    assert {name: assistant_message(agent).get(name) for name in message} == message


THINKS = raw({"reasoning_content": REASONING}, {"tool_calls": [CALL]}, finish="tool_calls")


async def test_host_that_requires_thinking_with_each_call_gets_it(agent: EngineHarness, host: Host) -> None:
    """The first call comes without thinking; an earlier turn of another model would lack it as well."""
    missing = refusal("reasoning_content is missing in assistant tool call message at index 2")
    host(rule(missing, lacks="reasoning_content"), rule(said(READ), results=0), rule(said(text("Done."))))
    answer = await agent.me.ask("look at it")
    assert answer.text == "Done."
    assert "retry" not in answer.types


async def test_host_that_refuses_its_own_state_is_asked_without(agent: EngineHarness, host: Host) -> None:
    unknown = refusal("messages.2.reasoning_content: Extra inputs are not permitted")
    host(rule(unknown, holds="reasoning_content"), rule(THINKS, results=0), rule(said(text("Done."))))
    answer = await agent.me.ask("look at it")
    assert (thinking(answer), answer.text) == (REASONING, "Done.")


PARTS: dict[str, tuple[list[Message], str, str]] = {
    "thinking and text": (
        [
            {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]},
            {"content": [{"type": "text", "text": "The pods "}]},
            {"content": [{"type": "text", "text": "are fine."}]},
        ],
        "hm",
        "The pods are fine.",
    ),
    "parts mixed with plain text": (
        [{"content": "The pods "}, {"content": [{"type": "text", "text": "are "}]}, {"content": "fine."}],
        "",
        "The pods are fine.",
    ),
    "one part, not in a list": (
        [{"content": {"type": "output_text", "text": "The pods are fine."}}],
        "",
        "The pods are fine.",
    ),
    "a refusal": ([{"refusal": "I can't help with that."}], "", "I can't help with that."),
    "unknown parts are named": (
        [{"content": [{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": "x"}}]}],
        "",
        "See:\n\n[The model also sent parts that can't be shown: 1 of type image_url.]",
    ),
    "tags in pieces": (
        [{"content": "<thi"}, {"content": "nk>h"}, {"content": "m</th"}, {"content": "ink>\n\nFine <think>."}],
        "hm",
        "Fine <think>.",
    ),
    "an end of thinking without its beginning": (
        [{"content": "First the "}, {"content": "events.</think>"}, {"content": "\n\nFine."}],
        "First the events.",
        "Fine.",
    ),
    "thinking between channels": (
        [{"content": "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>Fine."}],
        "hm",
        "Fine.",
    ),
    "details alone": (
        [{"reasoning_details": [{"type": "reasoning.summary", "summary": "hm"}]}, {"content": "Fine."}],
        "hm",
        "Fine.",
    ),
    "surrogate pairs split between pieces": (
        [
            {"reasoning": "h\ud83d"},
            {"reasoning": "\ude00"},
            {"content": "a \ud83d"},
            {"content": "\udc80!"},
            {"content": "\ud83d"},
        ],
        "h😀",
        "a 💀!\ufffd",
    ),
}


@pytest.mark.parametrize("name", PARTS)
async def test_content_becomes_text_and_thinking_in_every_form(agent: EngineHarness, host: Host, name: str) -> None:
    deltas, thought, answer_text = PARTS[name]
    host(rule(raw(*deltas)))
    answer = await agent.me.ask("how is it?")
    assert answer.last["status"] == "completed"
    [_, entry] = await agent.me.timeline(answer.conversation_id)
    shown = {segment["kind"]: segment["text"] for segment in entry["segments"]}
    assert (shown.get("thinking", ""), shown["text"]) == (thought, answer_text)
    start = answer.all("generation.start")[-1]["generation_id"]
    assert "".join(event["text"] for event in answer.all("token") if event["generation_id"] == start) == answer_text


async def test_content_without_streaming_may_be_parts(agent: EngineHarness, host: Host) -> None:
    host(rule(said(text("<think>hm</think>Fine."), stream=False)))
    answer = await agent.me.ask("how is it?")
    assert (thinking(answer), answer.text) == ("hm", "Fine.")


WRITTEN = [
    '<tool_call>\n{"name": "read_thing", "arguments": {"name": "a"}}\n</tool_call>',
    "I will look.\n<function=read_thing>\n<parameter=name>a</parameter>\n</function>",
    '{"name": "read_thing", "parameters": {"name": "a"}}',
    '```json\n{"tool": "read_thing", "args": {"name": "a"}}\n```',
    '[TOOL_CALLS][{"name": "read_thing", "arguments": {"name": "a"}}]',
    'read_thing(name="a")',
    'Let me look.\n{"tool_calls": [{"type": "function", "function": {"name": "read_thing", "arguments": "{}"}}]}',
    "Action: read_thing\nAction Input: {}",
]


@pytest.mark.parametrize("written", WRITTEN)
async def test_call_written_as_text_is_told_to_model_and_then_to_user(
    agent: EngineHarness, host: Host, written: str
) -> None:
    before = agent.counting.requests()
    host(rule(said(Step(text=written))))
    answer = await agent.me.ask("look at it")
    assert len(agent.model.requests) == 2
    assert "Text is never run" in sent_messages(agent)[-1]["content"]
    assert (answer.last["type"], answer.last["code"]) == ("workflow_error", "model_wrote_calls")
    assert "--tool-call-parser" in answer.last["error"]
    assert agent.counting.requests() == before


async def test_model_that_calls_properly_after_the_hint_goes_on(agent: EngineHarness, host: Host) -> None:
    host(
        rule(said(READ), user="You wrote a tool call as text", results=0),
        rule(said(Step(text=WRITTEN[0])), results=0),
        rule(said(text("Done."))),
    )
    answer = await agent.me.ask("look at it")
    assert answer.last["status"] == "completed"
    assert len(answer.all("tool.result")) == 1


@pytest.mark.parametrize(
    "words",
    [
        'Call it like this:\n\n```json\n{"name": "read_thing", "arguments": {}}\n```\n\nThat is all.',
        'The manifest is {"name": "read_thing"}.',
        '{"name": "another_tool", "arguments": {}}',
        "The `<tool_call>` tag is what some models write.",
    ],
)
async def test_answer_about_calls_stays_an_answer(agent: EngineHarness, host: Host, words: str) -> None:
    host(rule(said(Step(text=words))))
    answer = await agent.me.ask("how would one call it?")
    assert (answer.last["status"], answer.text) == ("completed", words)
