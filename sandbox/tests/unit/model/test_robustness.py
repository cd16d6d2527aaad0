"""Any message and any tool output lead to an answer, and to the same one each time."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skyflo_sandbox.model.chat_completions import Message
from skyflo_sandbox.model.planner import TURNS_AT_MOST, Decision, decide
from src.api.agent import prompts
from tests.support.examples import up_to

ALL_TOOLS = frozenset(
    {
        "k8s_list_clusters",
        "k8s_get",
        "k8s_describe",
        "k8s_logs",
        "k8s_events",
        "k8s_can_i",
        "k8s_rollout_status",
        "k8s_scale",
        "k8s_apply",
        "k8s_patch",
        "k8s_rollout_restart",
        "k8s_delete",
    }
)
VOCABULARY = """
why list fix scale restart delete set logs describe is are the in of to pods pod deployment service configmap shop web
checkout failing ok everything all namespaces namespace image A=b web:2 3 yes it back roll not healthy events cluster
what how many can i `x` 'y' shop/web -n -A apply show rollout status
"""
WORDS = VOCABULARY.split()
SENTENCES = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=10).map(" ".join)
TABLES = st.sampled_from(
    [
        "NAMESPACE  NAME  READY  STATUS  RESTARTS  AGE\nshop  web-1  0/1  CrashLoopBackOff  3 (1s ago)  1d",
        (
            "NAME  READY  UP-TO-DATE  AVAILABLE  AGE  CONTAINERS  IMAGES  SELECTOR\nweb  0/1  1  0  1d  app  web:1 "
            " app=web"
        ),
        "NAME  TYPE\nweb  ClusterIP",
        "Deployment web in namespace shop\nConditions:\n  A=B\nObject:\nspec:\n  replicas: 1",
        "kind: A\nmetadata: {name: web}\ndata: {A: b}\n---\nkind: B",
        "== web-1 app\nFATAL A_KEY is not set\n== web-1 b: no",
        "2026-01-01T00:00:00 Warning Failed shop/pod/web-1: no (x3)",
        "a message [not_found, effect: none] Hint: look",
        "",
    ]
)
TEXTS = TABLES | st.text(max_size=200)
CONTENTS = st.one_of(
    TEXTS.map(lambda text: prompts.frame_result("c", "k8s_get", text)),
    TEXTS.map(lambda text: prompts.failed("c", "k8s_get", text)),
    TEXTS.map(prompts.denied),
    TEXTS.map(prompts.unknown),
    TEXTS,
)


def message(role: str, **others: object) -> Message:
    return Message.model_validate({"role": role, **others})


def turned(decision: Decision, contents: list[str]) -> list[Message]:
    """Build the model's message and a result for each of its calls."""
    calls = [
        {"id": f"c{place}", "function": {"name": call.tool, "arguments": json.dumps(call.arguments)}}
        for place, call in enumerate(decision.calls)
    ]
    results = [
        message("tool", tool_call_id=f"c{place}", content=contents[place % len(contents)])
        for place in range(len(calls))
    ]
    return [message("assistant", content=decision.text, tool_calls=calls), *results]


@settings(max_examples=up_to(150), suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(SENTENCES, min_size=1, max_size=3), st.lists(CONTENTS, min_size=1, max_size=4))
def test_every_conversation_ends(questions: list[str], contents: list[str]) -> None:
    messages: list[Message] = []
    for question in questions:
        messages.append(message("user", content=question))
        for _ in range(TURNS_AT_MOST + 1):
            decision = decide(messages, ALL_TOOLS)
            assert decision == decide(messages, ALL_TOOLS)
            assert decision.text or decision.calls
            if not decision.calls:
                break
            messages += turned(decision, contents)
        assert not decision.calls
        messages.append(message("assistant", content=decision.text))


@settings(max_examples=up_to(200))
@given(st.text(max_size=300))
def test_every_sentence_gets_an_answer_or_a_call(said: str) -> None:
    decision = decide([message("user", content=said)], ALL_TOOLS)
    assert decision.text or decision.calls


def test_conversation_without_a_question_gets_an_introduction() -> None:
    for messages in ([], [message("system", content="x")], [message("assistant", content="hi")]):
        assert "I am the sandbox model" in decide(messages, ALL_TOOLS).text
