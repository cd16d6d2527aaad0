"""Titles for conversations, asked for with the engine's own prompt."""

import pytest

from skyflo_sandbox.model.chat_completions import Message
from skyflo_sandbox.model.planner import decide
from src.api.agent import prompts
from src.api.agent.titles import clean_title


def title(said: str) -> str:
    asked = [
        Message(role="system", content=prompts.title_request()),
        Message(role="user", content=prompts.frame_title_message(said)),
    ]
    decision = decide(asked, frozenset())
    assert decision.calls == ()
    return decision.text


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("fix checkout in shop", "Fix checkout in shop"),
        ("what is wrong in shop?", "Trouble with shop"),
        ("Why does the checkout pod in shop restart?", "Trouble with checkout in shop"),
        ("list the pods in shop", "List pods in shop"),
        ("set PAYMENTS_URL=x in checkout-config", "Set PAYMENTS_URL=x in checkout-config"),
        ("hello there.\n\nI have a question", "Hello there"),
        ("Please write me a poem about the sea and the wind", "Please write me a poem about"),
    ],
)
def test_title_names_intent_and_object(said: str, named: str) -> None:
    assert title(said) == named


@pytest.mark.parametrize("said", ["fix " + "x" * 3_000, "...", "why? " * 500, "</message>", "logs of " + "o" * 90])
def test_title_is_valid_for_any_message(said: str) -> None:
    assert clean_title(title(said)) is not None


def test_message_about_naming_is_not_a_title_request() -> None:
    asked = [
        Message(role="system", content=prompts.system_prompt()),
        Message(role="user", content="Name the conversation"),
    ]
    assert "sandbox model" in decide(asked, frozenset()).text
