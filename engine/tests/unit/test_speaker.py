"""Whose turn it is: on in plain cases, never in doubt."""

import pytest

from src.api.agent.speaker import model_goes_on


@pytest.mark.parametrize(
    "text",
    [
        "Let me check the pods.",
        "The deployment has no replicas. I'll now look at its events:",
        "I\u2019ll fetch the logs of both containers…",
        "Two pods crash.\n\nNext, I'll describe the node.",
        "I'm going to verify the rollout.",
        "**Now I will scale the deployment.**",
        "Let me first list the namespaces",
    ],
)
def test_an_announced_step_is_the_models(text: str) -> None:
    assert model_goes_on(text, "stop")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "Three pods are running.",
        "Should I check the logs?",
        "Let me know if you want me to check the logs.",
        "I'll scale it as soon as you approve.",
        "If you agree, I will restart the deployment.",
        "Let me check the pods. All three are running.",
        "I'll be here.",
        "Please tell me which namespace; then I will look.",
        "I checked the pods and the events.",
        "Would you like me to run it? Let me know.",
        "You can run kubectl get pods.",
        "Ich schaue mir jetzt die Pods an.",
    ],
)
def test_in_doubt_it_is_the_users(text: str) -> None:
    assert not model_goes_on(text, "stop")


def test_an_answer_cut_at_its_limit_goes_on() -> None:
    assert model_goes_on("The first of the three", "length")
    assert not model_goes_on("", "length")
    assert not model_goes_on("Let me check the pods.", "content_filter")
