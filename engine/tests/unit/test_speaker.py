"""Test who speaks next: the model continues only in clear cases."""

import pytest

from src.api.agent.next_speaker import should_continue


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
def test_announced_step_continues_with_the_model(text: str) -> None:
    assert should_continue(text, "stop")


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
def test_ambiguous_text_waits_for_the_user(text: str) -> None:
    assert not should_continue(text, "stop")


def test_truncated_answer_continues_with_the_model() -> None:
    assert should_continue("The first of the three", "length")
    assert not should_continue("", "length")
    assert not should_continue("Let me check the pods.", "content_filter")
