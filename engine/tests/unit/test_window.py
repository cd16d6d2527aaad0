"""Test that shortening a conversation keeps each question together with its answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.agent.context_window import fit, tokens_of_tools
from src.api.agent.prompts import frame_result
from src.api.ports import ChatCall, ChatMessage, FunctionSpec, ProviderState

SYSTEM = ChatMessage("system", "Be brief.")


def turn(n: int, results: int = 1, size: int = 100) -> list[ChatMessage]:
    calls = tuple(ChatCall(f"c{n}.{m}", "k8s_get", "{}") for m in range(results))
    return [
        ChatMessage("assistant", "", calls),
        *(ChatMessage("tool", f"{n}.{m} " + "x" * size, call_id=f"c{n}.{m}") for m in range(results)),
    ]


def test_fitting_conversation_is_unchanged() -> None:
    messages = [SYSTEM, ChatMessage("user", "List pods"), *turn(1), ChatMessage("assistant", "Three.")]
    assert fit(messages, window=10_000, reserve=1000, count=len) == messages


def test_state_of_a_provider_counts() -> None:
    state = ProviderState("host/model", {"reasoning_content": "x" * 500})
    messages = [
        SYSTEM,
        ChatMessage("assistant", "a", state=state),
        ChatMessage("user", "new"),
        ChatMessage("user", "newer"),
    ]
    assert fit(messages, window=500, reserve=0, count=len)[1].content == "new"


def test_oldest_messages_are_dropped_first_with_a_note() -> None:
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
def test_oversized_result_is_truncated_within_its_frame() -> None:
    result = frame_result("c1.0", "k8s_logs", "line\n" * 4000, limit=100_000)
    messages = [ChatMessage("user", "Logs?"), turn(1)[0], ChatMessage("tool", result, call_id="c1.0")]
    kept = fit(messages, window=100_000, reserve=0, count=len, result_limit=2000)[-1].content
    assert len(kept) <= 2000
    assert kept.startswith('<tool-result call="c1.0"')
    assert kept.endswith('</tool-result call="c1.0">')
    assert "characters were cut here" in kept


def test_oldest_results_of_a_run_are_dropped_first() -> None:
    messages = [SYSTEM, ChatMessage("user", "Go"), *(message for n in range(30) for message in turn(n))]
    kept = fit(messages, window=1500, reserve=200, count=len)
    assert kept[1].content == "Go"
    assert kept[-1].content.startswith("29.0")
    assert len(kept) < len(messages)


def test_results_shrink_when_no_message_can_be_dropped() -> None:
    messages = [SYSTEM, ChatMessage("user", "Go"), *turn(1, results=3, size=20_000)]
    kept = fit(messages, window=6000, reserve=0, count=len)
    assert sum(len(message.content) for message in kept) <= 6000
    assert len(kept) == len(messages)


def test_note_becomes_the_system_prompt_if_there_is_none() -> None:
    kept = fit([ChatMessage("user", "x" * 5000), ChatMessage("user", "new")], window=500, reserve=0, count=len)
    assert [message.role for message in kept] == ["system", "user"]


def test_tool_definitions_count_against_the_window() -> None:
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
def test_call_and_result_stay_together_with_the_latest_question(
    history: list[ChatMessage], window: int, reserve: int
) -> None:
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
def test_request_fits_the_budget_unless_nothing_can_be_dropped(history: list[ChatMessage]) -> None:
    kept = fit(history, window=9000, reserve=0, count=len)
    tokens = sum(
        len(message.content) + 6 + sum(len(call.name) + len(call.arguments) + 12 for call in message.calls)
        for message in kept
    )
    groups = sum(message.role != "tool" for message in kept if message.role != "system")
    assert tokens <= 9000 or groups <= 2
