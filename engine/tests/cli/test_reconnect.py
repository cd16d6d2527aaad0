"""Test broken connections, closed streams and unusual terminals."""

import json
import signal
import subprocess
import sys

import pytest

from tests.support.counting_process import CountingProcess
from tests.support.cutting_proxy import open_cutting_proxy
from tests.support.engines import EngineProcess
from tests.support.scripted_model import ScriptedModel
from tests.support.terminal import COMMAND, Shell
from tests.support.waiting import PATIENCE

LONG_ANSWER = " ".join(f"word{n}" for n in range(150))


def test_answer_is_complete_over_a_breaking_connection(shell: Shell, shared_engine: EngineProcess) -> None:
    with open_cutting_proxy(shared_engine.port, [900, 700, 1500, 2000]) as line:
        shell.server = line.url
        done = shell.run("chat", "speak at length")
        assert line.taken > 4
    assert (done.code, done.out) == (0, f"{LONG_ANSWER}\n")
    assert done.err.count("reconnecting") == done.err.count("reconnected") >= 1


def test_every_event_is_printed_once(shell: Shell, shared_engine: EngineProcess) -> None:
    with open_cutting_proxy(shared_engine.port, [2500, 1000, 0, 3000]) as line:
        shell.server = line.url
        done = shell.run("chat", "--json", "speak at length")
    numbers = [event["seq"] for event in done.events if "seq" in event]
    assert done.code == 0
    assert numbers == sorted(set(numbers))
    assert "".join(event["text"] for event in done.events if event["type"] == "token") == LONG_ANSWER


def test_message_without_response_is_submitted_once(
    shell: Shell, shared_engine: EngineProcess, model: ScriptedModel
) -> None:
    with open_cutting_proxy(shared_engine.port, [0, 50]) as line:
        shell.server = line.url
        done = shell.run("chat", "--json", "hello, only once")
    assert done.code == 0
    assert sum("hello, only once" in json.dumps(asked.body) for asked in model.requests) == 1


def test_decision_without_response_is_made_once(
    shell: Shell, shared_engine: EngineProcess, counting: CountingProcess
) -> None:
    asked = shell.run("chat", "--json", "set ba=1")
    call = next(event for event in asked.events if event["type"] == "tool.awaiting_approval")
    with open_cutting_proxy(shared_engine.port, [2500]) as line:
        shell.server = line.url
        done = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"])
    assert done.code == 0, done.err
    assert [effect.value for effect in counting.effects() if effect.name == "ba"] == ["1"]


def test_interrupt_stops_the_run_without_a_terminal(shell: Shell) -> None:
    command = [*COMMAND, "chat", "--json", "speak slowly"]
    process = subprocess.Popen(command, env=shell.environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    with process, process.stdout as output:
        while json.loads(output.readline())["type"] != "token":
            pass
        process.send_signal(signal.SIGINT)
        *_, last = [json.loads(line) for line in output]
        assert process.wait(PATIENCE) == 130
    assert (last["type"], last["status"]) == ("workflow_complete", "stopped")


def test_closed_pipe_causes_no_error_output(shell: Shell) -> None:
    typed = f"{sys.executable} -m src.cli.main chat 'speak at length' | head -c 5"
    done = subprocess.run(["sh", "-c", typed], env=shell.environment, capture_output=True, text=True, check=False)
    assert done.stdout == "word0"
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
def test_closed_standard_streams_are_tolerated(shell: Shell, closed: str) -> None:
    typed = f"{sys.executable} -m src.cli.main chat hello {closed}"
    done = subprocess.run(["sh", "-c", typed], env=shell.environment, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_dumb_terminal_gets_plain_text(shell: Shell) -> None:
    shell.extra["TERM"] = "dumb"
    with shell.on_terminal("chat", "in markdown") as on:
        on.expect("# Pods")
        assert on.wait_for_exit() == 0
    assert "\x1b" not in on.raw


def test_no_color_disables_colour(shell: Shell) -> None:
    shell.extra["NO_COLOR"] = "1"
    with shell.on_terminal("chat", "set bb=1") as on:
        on.expect("[l]eave")
        on.type("l")
        assert on.wait_for_exit() == 3
    assert "\x1b[32m" not in on.raw


def test_encoding_without_the_signs_is_tolerated(shell: Shell) -> None:
    shell.extra |= {"PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"}
    assert shell.run("chat", "read the thing").code == 0
    assert shell.run("chat", "refuse me").code == 1
