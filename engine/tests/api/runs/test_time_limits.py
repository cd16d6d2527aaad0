"""Limits of a model's turn and of a tool call end what takes too long, and name their setting."""

from pathlib import Path

import pytest

from tests.support.chat_script import CHAT_SCRIPT
from tests.support.counting_process import CountingProcess
from tests.support.engine_harness import open_engine_harness
from tests.support.model_host import refusal, rule, said
from tests.support.model_script import Call, Reply, Rule, Script, Step, text
from tests.support.scripted_model import ScriptedModel

SILENT = said(hang=60.0)
LIMITS: dict[str, tuple[dict[str, int], list[Rule], int, str]] = {
    "no first token": (
        {"llm_first_token_seconds": 1, "llm_turn_seconds": 60},
        [rule(SILENT, attempts=1), rule(SILENT, attempts=2), rule(refusal("no such key", status=401))],
        3,
        "LLM_FIRST_TOKEN_SECONDS",
    ),
    "silence in the midst": (
        {"llm_between_tokens_seconds": 1},
        [rule(said(text("half of "), Step(hang=60)), attempts=1), rule(refusal("no such key", status=401))],
        2,
        "LLM_BETWEEN_TOKENS_SECONDS",
    ),
    "the whole turn, while an answer never ends": (
        {"llm_turn_seconds": 1},
        [rule(said(Step(text=" ".join(["again"] * 4_000), delay=0.05)))],
        1,
        "LLM_TURN_SECONDS",
    ),
    "the whole turn, with its retries": (
        {"llm_first_token_seconds": 1, "llm_turn_seconds": 2},
        [rule(SILENT)],
        2,
        "LLM_TURN_SECONDS",
    ),
    "a retry that would come too late": (
        {"llm_turn_seconds": 5},
        [rule(Reply(status=429, error={"error": {"message": "slow down"}}, headers={"Retry-After": "20"}))],
        1,
        "LLM_TURN_SECONDS",
    ),
}


@pytest.mark.promise("bounded")
@pytest.mark.parametrize("name", LIMITS)
async def test_model_that_takes_too_long_ends_the_turn(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel, name: str
) -> None:
    limits, rules, requests, setting = LIMITS[name]
    scripted_model.reset()
    scripted_model.script = Script(rules=rules)
    try:
        async with open_engine_harness(tmp_path, counting, scripted_model, llm_titles=False, **limits) as engine:
            answer = await engine.me.ask("go on")
    finally:
        scripted_model.script = CHAT_SCRIPT
    assert answer.last["type"] == "workflow_error"
    told = [event["error"] for event in [*answer.all("retry"), answer.last]]
    assert any(setting in error for error in told), told
    assert len(scripted_model.requests) == requests


@pytest.mark.promise("unknown")
async def test_running_change_is_ended_by_tool_timeout_and_not_by_its_time_to_start(
    tmp_path: Path, counting: CountingProcess, scripted_model: ScriptedModel
) -> None:
    call = Call(name="change_thing", arguments={"name": "slow", "value": "1"})
    scripted_model.script = Script(rules=[rule(said(Step(calls=[call])), results=0), rule(said(text("Done.")))])
    limits = {"execute_within_seconds": 1, "tool_timeout_seconds": 3}
    try:
        async with open_engine_harness(tmp_path, counting, scripted_model, **limits) as engine:
            asked = await engine.me.ask("change it")
            counting.control(fault="hang", tool="change_thing")
            done = await engine.me.decide(asked, asked.waiting[0])
    finally:
        scripted_model.script = CHAT_SCRIPT
    assert "no answer within 3 s" in done["tool.unknown"]["error"]
    started, ended = done["tool.executing"]["timestamp"], done["tool.unknown"]["timestamp"]
    assert ended - started > 2_000
