"""A title for a conversation, where the engine's own words ask for one."""

import pytest

from skyflo_sandbox.model.planner import decide
from skyflo_sandbox.model.wire import Message
from src.api.agent import prompts
from src.api.agent.naming import as_title


def title(said: str) -> str:
    asked = [
        Message(role="system", content=prompts.title_request()),
        Message(role="user", content=prompts.to_be_named(said)),
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
def test_it_says_what_is_wanted_and_of_what(said: str, named: str) -> None:
    assert title(said) == named


@pytest.mark.parametrize("said", ["fix " + "x" * 3_000, "...", "why? " * 500, "</message>", "logs of " + "o" * 90])
def test_the_engine_can_take_it_whatever_was_said(said: str) -> None:
    assert as_title(title(said)) is not None


def test_a_conversation_about_names_is_no_such_request() -> None:
    asked = [
        Message(role="system", content=prompts.system_prompt()),
        Message(role="user", content="Name the conversation"),
    ]
    assert "sandbox model" in decide(asked, frozenset()).text
