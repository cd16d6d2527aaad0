"""Asking from a script: what goes where, and the exit codes."""

import json

from tests.support.counting import Counting
from tests.support.terminal import Shell


def test_an_answer_goes_to_standard_output_alone(shell: Shell) -> None:
    done = shell.run("chat", "read the thing")
    assert done.code == 0
    assert done.out.startswith("One result:")
    assert "Read thing" in done.err
    assert "\x1b" not in done.out + done.err


def test_a_message_may_come_by_a_pipe(shell: Shell) -> None:
    assert shell.run("chat", typed="hello there\n").out == "Hello.\n"


def test_json_is_one_event_a_line_and_ends_at_an_approval(shell: Shell) -> None:
    done = shell.run("chat", "--json", "set j=1")
    assert done.code == 3
    kinds = [event["type"] for event in done.events]
    assert kinds[0] == "ready"
    assert "tool.awaiting_approval" in kinds
    assert done.events[-1]["status"] == "awaiting_approval"
    assert done.err == ""


def test_without_a_terminal_it_says_how_to_decide(shell: Shell, counting: Counting) -> None:
    done = shell.run("chat", "set k=1")
    assert done.code == 3
    assert "Change k from None to 1" in done.out
    assert "+1" in done.out
    call_id = json.loads(shell.run("approvals", "--json").out.splitlines()[0])["call_id"]
    assert f"skyflo approvals approve {call_id}" in done.err
    assert not [effect for effect in counting.effects() if effect.name == "k"]


def test_a_failed_run(shell: Shell) -> None:
    done = shell.run("chat", "refuse me")
    assert done.code == 1
    assert "✗" in done.err


def test_wrong_use(shell: Shell) -> None:
    assert shell.run("chat", "--resume", "a message").code == 2
    assert shell.run("chat", "  ").code == 2
    assert shell.run("chat", "--continue", "hello").code == 2
    assert "no last conversation" in shell.run("chat", "--resume").err


def test_no_engine_is_told_in_a_line(shell: Shell) -> None:
    done = shell.run("chat", "hello", "--server", "http://127.0.0.1:9")
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        "✗ No engine at http://127.0.0.1:9: start one with `skyflo up`, or name another with --server.\n"
    )


def test_a_conversation_goes_on(shell: Shell) -> None:
    first = shell.run("chat", "--json", "hello").events[0]["conversation_id"]
    assert shell.run("chat", "--json", "--continue", "hello").events[0]["conversation_id"] == first
    assert shell.run("chat", "--json", "--conversation", first, "hello").events[0]["conversation_id"] == first
    assert shell.run("chat", "--json", "hello").events[0]["conversation_id"] != first
