"""Test `skyflo chat` at a terminal: output, decisions and interrupts."""

import signal

import httpx
import pytest

from tests.cli.conftest import HOSTILE_TEXT
from tests.support.counting_process import CountingProcess
from tests.support.engines import EngineFactory, EngineProcess
from tests.support.loopback import loopback
from tests.support.terminal import Shell

PROMPT = "[l]eave waiting"


def list_effects(counting: CountingProcess, name: str) -> list[str]:
    return [effect.value for effect in counting.effects() if effect.name == name]


def find_pending(engine: EngineProcess, name: str) -> dict[str, str]:
    with loopback() as http:
        found = http.get(f"{engine.url}/agent/approvals?limit=50").json()["data"]
    return next(each for each in found if each["args"].get("name") == name)


def decide(engine: EngineProcess, name: str, approve: bool) -> httpx.Response:
    call = find_pending(engine, name)
    body = {"approve": approve, "conversation_id": call["conversation_id"]}
    with loopback() as http:
        return http.post(f"{engine.url}/agent/approvals/{call['call_id']}", json=body)


def test_change_is_shown_approved_and_run(shell: Shell, counting: CountingProcess) -> None:
    with shell.on_terminal("chat", "set ta=1") as on:
        on.expect("Waits for your approval")
        on.expect("Change ta from None to 1")
        on.expect("low: it is a test")
        on.expect(PROMPT)
        assert "\x1b[31m-None" in on.raw
        assert "\x1b[32m+1" in on.raw
        on.type("a")
        on.expect("approved by local")
        on.expect("One result:")
        assert on.wait_for_exit() == 0
    assert list_effects(counting, "ta") == ["1"]


def test_denial_asks_for_a_reason(shell: Shell, shared_engine: EngineProcess, counting: CountingProcess) -> None:
    with shell.on_terminal("chat", "set tb=1") as on:
        on.expect(PROMPT)
        on.type("d")
        on.expect("Why")
        on.type("too early")
        on.expect("denied by local: too early")
        assert on.wait_for_exit() == 5
    assert list_effects(counting, "tb") == []


def test_show_all_prints_arguments_and_digest(shell: Shell, shared_engine: EngineProcess) -> None:
    with shell.on_terminal("chat", "set tc=1") as on:
        on.expect(PROMPT)
        on.type("s")
        on.expect('"value": "1"')
        on.expect(find_pending(shared_engine, "tc")["digest"])
        on.expect(PROMPT)
        on.type("l")
        on.expect("skyflo approvals approve")
        assert on.wait_for_exit() == 3


def test_interrupt_at_the_prompt_leaves_the_change_pending(shell: Shell, shared_engine: EngineProcess) -> None:
    with shell.on_terminal("chat", "set td=1") as on:
        on.expect(PROMPT)
        on.interrupt()
        assert on.wait_for_exit() == 3
    assert find_pending(shared_engine, "td")["status"] == "pending"


def test_resume_asks_for_the_pending_decision(shell: Shell, counting: CountingProcess) -> None:
    assert shell.run("chat", "set te=1").code == 3
    with shell.on_terminal("chat", "--resume") as on:
        on.expect("Change te from None to 1")
        on.expect(PROMPT)
        on.type("a")
        on.expect("One result:")
        assert on.wait_for_exit() == 0
    assert list_effects(counting, "te") == ["1"]


def test_several_changes_are_decided_in_any_order(shell: Shell, counting: CountingProcess) -> None:
    with shell.on_terminal("chat", "set tf=1 and tg=2") as on:
        on.expect("1 of 2")
        on.expect("[n]ext")
        on.type("n")
        on.expect("2 of 2")
        on.expect("[n]ext")
        on.type("a")
        on.expect("Change tf from None to 1")
        on.expect(PROMPT)
        on.type("d")
        on.expect("Why")
        on.type("")
        on.expect("denied by local")
        assert on.wait_for_exit() == 5
    assert (list_effects(counting, "tf"), list_effects(counting, "tg")) == ([], ["2"])


def test_destructive_change_needs_its_name_typed(shell: Shell, counting: CountingProcess) -> None:
    with shell.on_terminal("chat", "wipe th") as on:
        on.expect("destructive")
        on.expect(PROMPT)
        on.type("a")
        on.expect("Type th to approve")
        on.type("yes")
        on.expect("nothing was approved")
        on.expect(PROMPT)
        on.type("a")
        on.expect("Type th to approve")
        on.type("th")
        on.expect("approved by local")
        assert on.wait_for_exit() == 0
    assert len(list_effects(counting, "th")) == 1


@pytest.mark.parametrize(("approve", "word", "code"), [(True, "approved", 0), (False, "denied", 5)])
def test_decision_made_elsewhere_closes_the_prompt(
    shell: Shell, shared_engine: EngineProcess, approve: bool, word: str, code: int
) -> None:
    name = f"ti{word}"
    with shell.on_terminal("chat", f"set {name}=1") as on:
        on.expect(PROMPT)
        assert decide(shared_engine, name, approve).status_code == 200
        on.expect(f"local {word} this")
        assert on.wait_for_exit() == code


def test_input_typed_ahead_is_discarded(shell: Shell, counting: CountingProcess) -> None:
    with shell.on_terminal("chat", "set tj=1") as on:
        on.type("a\na")
        on.expect(PROMPT)
        on.interrupt()
        assert on.wait_for_exit() == 3
    assert list_effects(counting, "tj") == []


def test_expired_approval_closes_the_prompt(
    shell: Shell, engine_factory: EngineFactory, counting: CountingProcess
) -> None:
    engine = engine_factory.engine("sqlite", counting, APPROVE_WITHIN_SECONDS="2")
    engine.start()
    try:
        shell.server = engine.url.removesuffix("/api/v1")
        with shell.on_terminal("chat", "set tk=1") as on:
            on.expect(PROMPT)
            on.expect("xpired")
            assert on.wait_for_exit() == 5
    finally:
        engine_factory.drop(engine)


def test_control_characters_of_the_answer_are_removed(shell: Shell) -> None:
    with shell.on_terminal("chat", "send control characters") as on:
        on.expect("[bold]not bold[/bold]")
        assert on.wait_for_exit() == 0
    assert "owned" not in on.raw
    assert "\x1b[2J" not in on.raw
    assert "\u202e" not in on.raw


def test_control_characters_of_a_change_are_made_visible(shell: Shell) -> None:
    with shell.on_terminal("chat", "write control characters") as on:
        on.expect("␛]0;owned")
        on.expect("<U+202E>")
        on.expect(PROMPT)
        on.type("s")
        on.expect("Digest")
        on.expect(PROMPT)
        on.type("l")
        assert on.wait_for_exit() == 3
    assert "\x1b]0" not in on.raw
    assert "\x1b[2J" not in on.raw
    assert HOSTILE_TEXT not in on.raw


def test_panel_fits_a_narrow_terminal(shell: Shell) -> None:
    with shell.on_terminal("chat", "set tl=1", columns=36) as on:
        on.expect("[l]eave")
        on.type("l")
        assert on.wait_for_exit() == 3
    assert max(len(line) for line in on.shown.splitlines() if line.startswith(("│", "╭", "╰"))) <= 36


def test_markdown_answer_is_printed_once(shell: Shell) -> None:
    with shell.on_terminal("chat", "in markdown", rows=12) as on:
        assert on.wait_for_exit() == 0
    final = on.shown.rpartition("replicas: 2")[2]
    assert "That is all." in final
    assert "• web" in on.shown


def test_thinking_is_shown_in_one_line(shell: Shell) -> None:
    with shell.on_terminal("chat", "think") as on:
        on.expect("Thought for")
        on.expect("Let me see. Yes.")
        assert on.wait_for_exit() == 0


def test_interactive_prompt_stays_in_one_conversation(shell: Shell) -> None:
    with shell.on_terminal("chat") as on:
        on.expect("skyflo> ")
        on.type("hello")
        on.expect("Hello.")
        on.expect("skyflo> ")
        on.type("set tm=1")
        on.expect(PROMPT)
        on.type("l")
        on.expect("skyflo> ")
        on.close_input()
        assert on.wait_for_exit() == 3
    assert shell.run("chat", "--json", "--continue", "hello").code == 0


def test_interrupt_stops_the_run_and_shows_its_end(shell: Shell) -> None:
    with shell.on_terminal("chat", "speak slowly") as on:
        on.expect("slowly slowly")
        on.interrupt()
        on.expect("stopping")
        on.expect("Stopped.")
        assert on.wait_for_exit() == 130


def test_second_interrupt_exits_at_once(shell: Shell, engine: EngineProcess) -> None:
    shell.server = engine.url.removesuffix("/api/v1")
    with shell.on_terminal("chat", "speak slowly") as on:
        on.expect("slowly slowly")
        engine.signal(signal.SIGSTOP)
        on.interrupt()
        on.expect("stopping")
        on.interrupt()
        assert on.wait_for_exit() == 130
        engine.signal(signal.SIGCONT)


def test_run_is_followed_across_an_engine_restart(shell: Shell, engine: EngineProcess) -> None:
    shell.server = engine.url.removesuffix("/api/v1")
    with shell.on_terminal("chat", "speak at length") as on:
        on.expect("word20")
        engine.kill()
        on.expect("reconnecting")
        engine.start()
        on.expect("reconnected")
        on.expect("word149")
        assert on.wait_for_exit() == 0


def test_stale_approval_is_reported_and_asked_again(shell: Shell, counting: CountingProcess) -> None:
    with shell.on_terminal("chat", "set tn=1") as on:
        on.expect(PROMPT)
        counting.control(set={"tn": "other"})
        on.type("a")
        on.expect("stale")
        on.expect("Change tn from other to 1")
        on.expect(PROMPT)
        on.type("a")
        on.expect("One result:")
        assert on.wait_for_exit() == 0
    assert list_effects(counting, "tn") == ["1"]


def test_retry_is_shown(shell: Shell) -> None:
    with shell.on_terminal("chat", "busy once") as on:
        on.expect("Attempt 1 of")
        assert on.wait_for_exit() == 0


def test_busy_conversation_error_names_the_resume_command(shell: Shell) -> None:
    with shell.on_terminal("chat", "speak slowly") as on:
        on.expect("slowly slowly")
        refused = shell.run("chat", "--continue", "hello")
        assert (refused.code, "skyflo chat --resume" in refused.err) == (4, True)
        with shell.on_terminal("chat", "--resume") as second:
            second.expect("slowly slowly")
            assert shell.run("stop").code == 0
            second.expect("Stopped.")
            assert second.wait_for_exit() == 130
        assert on.wait_for_exit() == 130
