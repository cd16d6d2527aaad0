"""Test `skyflo chat` in scripts: output streams and exit codes."""

import json

from tests.support.counting_process import CountingProcess
from tests.support.terminal import Shell


def test_standard_output_holds_only_the_answer(shell: Shell) -> None:
    done = shell.run("chat", "read the thing")
    assert done.code == 0
    assert done.out.startswith("One result:")
    assert "Read thing" in done.err
    assert "\x1b" not in done.out + done.err


def test_message_is_read_from_a_pipe(shell: Shell) -> None:
    assert shell.run("chat", typed="hello there\n").out == "Hello.\n"


def test_json_prints_one_event_per_line_and_ends_at_an_approval(shell: Shell) -> None:
    done = shell.run("chat", "--json", "set j=1")
    assert done.code == 3
    kinds = [event["type"] for event in done.events]
    assert kinds[0] == "ready"
    assert "tool.awaiting_approval" in kinds
    assert done.events[-1]["status"] == "awaiting_approval"
    assert done.err == ""


def test_without_a_terminal_it_prints_how_to_decide(shell: Shell, counting: CountingProcess) -> None:
    done = shell.run("chat", "set k=1")
    assert done.code == 3
    assert "Change k from None to 1" in done.out
    assert "+1" in done.out
    call_id = json.loads(shell.run("approvals", "--json").out.splitlines()[0])["call_id"]
    assert f"skyflo approvals approve {call_id}" in done.err
    assert not [effect for effect in counting.effects() if effect.name == "k"]


def test_failed_run_exits_with_1(shell: Shell) -> None:
    done = shell.run("chat", "refuse me")
    assert done.code == 1
    assert "✗" in done.err


def test_contradicting_options_are_refused(shell: Shell) -> None:
    assert shell.run("chat", "--resume", "a message").code == 2
    assert shell.run("chat", "  ").code == 2
    assert shell.run("chat", "--continue", "hello").code == 2
    assert "no last conversation" in shell.run("chat", "--resume").err


def test_unreachable_engine_is_reported_in_one_line(shell: Shell) -> None:
    done = shell.run("chat", "hello", "--server", "http://127.0.0.1:9")
    assert (done.code, done.out) == (4, "")
    assert done.err == (
        "✗ No engine at http://127.0.0.1:9: start one with `skyflo up`, or pass another address with --server.\n"
    )


def test_conversation_is_continued(shell: Shell) -> None:
    first = shell.run("chat", "--json", "hello").events[0]["conversation_id"]
    assert shell.run("chat", "--json", "--continue", "hello").events[0]["conversation_id"] == first
    assert shell.run("chat", "--json", "--conversation", first, "hello").events[0]["conversation_id"] == first
    assert shell.run("chat", "--json", "hello").events[0]["conversation_id"] != first
