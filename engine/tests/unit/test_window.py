"""Whatever is left out, a question and what answers it stay together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.agent.prompts import framed
from src.api.agent.window import fit, tokens_of_tools
from src.api.ports import ChatCall, ChatMessage, FunctionSpec

SYSTEM = ChatMessage("system", "Be brief.")


def turn(n: int, results: int = 1, size: int = 100) -> list[ChatMessage]:
    calls = tuple(ChatCall(f"c{n}.{m}", "k8s_get", "{}") for m in range(results))
    return [
        ChatMessage("assistant", "", calls),
        *(ChatMessage("tool", f"{n}.{m} " + "x" * size, call_id=f"c{n}.{m}") for m in range(results)),
    ]


def test_what_fits_is_left_as_it_is() -> None:
    messages = [SYSTEM, ChatMessage("user", "List pods"), *turn(1), ChatMessage("assistant", "Three.")]
    assert fit(messages, window=10_000, reserve=1000, count=len) == messages


def test_the_oldest_goes_first_and_a_note_says_so() -> None:
    messages = [
        SYSTEM,
        ChatMessage("user", "old " * 200),
        ChatMessage("assistant", "older"),
        ChatMessage("user", "new"),
    ]
    kept = fit(messages, window=600, reserve=0, count=len)
    assert [message.content for message in kept[1:]] == ["older", "new"]
    assert "1 earlier messages were left out" in kept[0].content


@pytest.mark.promise("bounded")
def test_one_result_is_bounded_and_keeps_its_frame() -> None:
    result = framed("c1.0", "k8s_logs", "line\n" * 4000, limit=100_000)
    messages = [ChatMessage("user", "Logs?"), turn(1)[0], ChatMessage("tool", result, call_id="c1.0")]
    kept = fit(messages, window=100_000, reserve=0, count=len, result_limit=2000)[-1].content
    assert len(kept) <= 2000
    assert kept.startswith('<tool-result call="c1.0"')
    assert kept.endswith('</tool-result call="c1.0">')
    assert "characters were cut here" in kept


def test_within_one_run_the_oldest_results_go_and_the_newest_stay() -> None:
    messages = [SYSTEM, ChatMessage("user", "Go"), *(message for n in range(30) for message in turn(n))]
    kept = fit(messages, window=1500, reserve=200, count=len)
    assert kept[1].content == "Go"
    assert kept[-1].content.startswith("29.0")
    assert len(kept) < len(messages)


def test_when_nothing_more_may_go_the_results_shrink() -> None:
    messages = [SYSTEM, ChatMessage("user", "Go"), *turn(1, results=3, size=20_000)]
    kept = fit(messages, window=6000, reserve=0, count=len)
    assert sum(len(message.content) for message in kept) <= 6000
    assert len(kept) == len(messages)


def test_without_a_system_prompt_the_note_is_one() -> None:
    kept = fit([ChatMessage("user", "x" * 5000), ChatMessage("user", "new")], window=500, reserve=0, count=len)
    assert [message.role for message in kept] == ["system", "user"]


def test_tools_take_room_too() -> None:
    tool = FunctionSpec("k8s_get", "Reads objects.", {"type": "object"})
    assert tokens_of_tools([tool, tool], len) == 2 * (7 + 14 + 17 + 8)


@st.composite
def histories(draw: st.DrawFn) -> list[ChatMessage]:
    history: list[ChatMessage] = [SYSTEM] if draw(st.booleans()) else []
    for n in range(draw(st.integers(1, 6))):
        history.append(ChatMessage("user", f"question {n} " + "q" * draw(st.integers(0, 400))))
        for m in range(draw(st.integers(0, 4))):
            history += turn(n * 10 + m, draw(st.integers(1, 3)), draw(st.integers(0, 3000)))
        if draw(st.booleans()):
            history.append(ChatMessage("assistant", "answer " + "a" * draw(st.integers(0, 400))))
    return history


@given(history=histories(), window=st.integers(50, 30_000), reserve=st.integers(0, 500))
def test_pairs_stay_whole_and_the_latest_question_stays(history: list[ChatMessage], window: int, reserve: int) -> None:
    kept = fit(history, window=window, reserve=reserve, count=len, result_limit=2000)
    asked = [call.id for message in kept for call in message.calls]
    answered = [message.call_id for message in kept if message.role == "tool"]
    assert asked == answered
    latest = [message for message in history if message.role == "user"][-1]
    assert latest in kept
    assert kept[-1].role == history[-1].role
    assert kept[-1].call_id == history[-1].call_id
    order = [(message.role, message.call_id, message.content[:12]) for message in history]
    left = iter(order)
    assert all(
        (message.role, message.call_id, message.content[:12]) in left for message in kept if message.role != "system"
    )
    if len(kept) < len(history):
        assert "were left out here" in kept[0].content
    assert all(len(message.content) <= 2000 for message in kept if message.role == "tool")


@given(history=histories())
def test_what_goes_out_is_within_the_budget_unless_nothing_more_may_go(history: list[ChatMessage]) -> None:
    kept = fit(history, window=9000, reserve=0, count=len)
    tokens = sum(
        len(message.content) + 6 + sum(len(call.name) + len(call.arguments) + 12 for call in message.calls)
        for message in kept
    )
    groups = sum(message.role != "tool" for message in kept if message.role != "system")
    assert tokens <= 9000 or groups <= 2
