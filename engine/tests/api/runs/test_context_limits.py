"""A conversation that is too long for its model's host is shortened, and the size is kept for the model."""

from pathlib import Path

import pytest

from tests.support.chat_script import CHAT_SCRIPT
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import EngineHarness, open_engine_harness
from tests.support.model_host import Host, refusal, rule, said
from tests.support.model_script import SUMMARY_PROMPT_PATTERN, Script, text
from tests.support.scripted_model import ScriptedModel

pytestmark = pytest.mark.asyncio(loop_scope="module")

TOO_LONG = "This model's maximum context length is 8192 tokens. However, your messages resulted in 20000 tokens."


@pytest.mark.promise("bounded")
async def test_conversation_too_long_for_the_host_is_shortened_once(agent: EngineHarness, host: Host) -> None:
    long = "word " * 3_000
    host(rule(said(text("Fine."))))
    first = await agent.me.ask(f"first {long}")
    host(rule(refusal(TOO_LONG, code="context_length_exceeded"), longer_than=22_000), rule(said(text("Short."))))
    asked = await agent.me.ask(f"second {long}", conversation_id=first.conversation_id)
    assert asked.text == "Short."
    assert "8192 tokens" in asked["retry"]["error"]
    assert [event["retry_in"] for event in asked.all("retry")] == [0]
    again = await agent.me.ask("third", conversation_id=first.conversation_id)
    assert "retry" not in again.types


async def test_summary_is_asked_for_again_within_the_window_that_the_host_names(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    long = "word " * 3_000
    too_long = rule(
        refusal(TOO_LONG, code="context_length_exceeded"), system=SUMMARY_PROMPT_PATTERN, longer_than=22_000
    )
    summary = rule(said(text("Questions were answered.", pieces=1)), system=SUMMARY_PROMPT_PATTERN)
    scripted_model.script = Script(rules=[too_long, summary, rule(said(text("Fine.")))])
    kinds: list[str] = []
    async with open_engine_harness(tmp_path, counting, scripted_model) as agent:
        conversation: dict[str, str] = {}
        for number in range(6):
            answer = await agent.me.ask(f"question {number} {long}", **conversation)
            conversation = {"conversation_id": answer.conversation_id}
            assert answer.text == "Fine."
            kinds += [kind for kind in answer.types if kind.startswith("context.")]
    scripted_model.script = CHAT_SCRIPT
    assert kinds[:2] == ["context.compaction_failed", "context.compacted"]


async def test_context_window_setting_is_named_when_shortening_does_not_help(agent: EngineHarness, host: Host) -> None:
    host(rule(refusal("The prompt is too long for this model.", status=413)))
    answer = await agent.me.ask("hello")
    assert len(agent.model.requests) == 2
    assert answer.last["code"] == "model_context_exceeded"
    assert "LLM_CONTEXT_WINDOW" in answer.last["error"]
