"""Test that the scripted model's replies depend only on the conversation."""

import json

import httpx
import pytest

from tests.support.model_script import Call, Conversation, Reply, Rule, Script, Step, When, text
from tests.support.scripted_model import scripted_model_in_thread

QUESTION = {"role": "user", "content": "Scale web in prod to 5"}
ASKED = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "k8s_scale", "arguments": "{}"}}],
}
SCRIPT = Script(
    rules=[
        Rule(
            when=When(user=r"scale (?P<name>\w+) in (?P<namespace>\w+) to (?P<replicas>\d+)", results=0),
            reply=Reply(
                steps=[
                    text("I scale ${name}."),
                    Step(calls=[Call(name="k8s_scale", arguments={"name": "${name}", "replicas": "${replicas:int}"})]),
                ]
            ),
        ),
        Rule(when=When(tool="k8s_scale", last_result="denied"), reply=Reply(steps=[text("It was denied.")])),
        Rule(when=When(results=1), reply=Reply(steps=[text("It says: ${result}")])),
    ]
)


def answer(*messages: dict[str, object], attempt: int = 1) -> Reply:
    return SCRIPT.answer(Conversation.model_validate({"messages": messages}), attempt)


def test_rule_matches_the_question_and_fills_in_its_groups() -> None:
    said, called = answer(QUESTION).steps
    assert said.text == "I scale web."
    assert called.calls == [Call(name="k8s_scale", arguments={"name": "web", "replicas": 5})]


@pytest.mark.parametrize(("result", "said"), [("scaled", "It says: scaled"), ("denied by ada", "It was denied.")])
def test_rule_matches_the_number_of_results(result: str, said: str) -> None:
    assert answer(QUESTION, ASKED, {"role": "tool", "tool_call_id": "c1", "content": result}).steps[0].text == said


def test_results_of_earlier_questions_do_not_count() -> None:
    earlier = [QUESTION, ASKED, {"role": "tool", "tool_call_id": "c1", "content": "scaled"}]
    assert len(answer(*earlier, QUESTION).steps) == 2


def test_request_without_a_matching_rule_is_reported() -> None:
    assert answer({"role": "user", "content": "hm"}).steps[0].text == "No rule of the script fits: hm"


def test_attempts_count_repeated_conversations_and_requests_are_recorded() -> None:
    script = Script(
        rules=[
            Rule(when=When(attempts=2), reply=Reply(status=503, error={"error": {"message": "busy"}})),
            Rule(reply=Reply(steps=[text("Done.")])),
        ]
    )
    body = {"messages": [{"role": "user", "content": "canary-7"}], "stream": True}
    with scripted_model_in_thread(script) as model, httpx.Client(base_url=model.url.removesuffix("/v1")) as client:
        statuses = [client.post("/v1/chat/completions", json=body).status_code for _ in range(3)]
        kept = client.get("/requests").json()
        client.delete("/requests")
        assert client.get("/requests").json() == []
    assert statuses == [503, 503, 200]
    assert [asked["ended"] for asked in kept] == ["whole"] * 3
    assert "canary-7" in json.dumps(kept)


def test_script_round_trips_as_json() -> None:
    assert Script.model_validate_json(SCRIPT.model_dump_json()) == SCRIPT
