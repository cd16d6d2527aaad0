"""Asking and deciding at a terminal: what a person sees, types and gets."""

import signal

import httpx
import pytest

from tests.cli.conftest import EVIL
from tests.support.counting import Counting
from tests.support.engines import Engine, Forge, loopback
from tests.support.terminal import Shell

ASKS = "[l]eave waiting"


def effects(counting: Counting, name: str) -> list[str]:
    return [effect.value for effect in counting.effects() if effect.name == name]


def waiting(engine: Engine, name: str) -> dict[str, str]:
    with loopback() as http:
        found = http.get(f"{engine.url}/agent/approvals?limit=50").json()["data"]
    return next(each for each in found if each["args"].get("name") == name)


def decide(engine: Engine, name: str, approve: bool) -> httpx.Response:
    call = waiting(engine, name)
    body = {"approve": approve, "conversation_id": call["conversation_id"]}
    with loopback() as http:
        return http.post(f"{engine.url}/agent/approvals/{call['call_id']}", json=body)


def test_a_change_is_shown_approved_and_run(shell: Shell, counting: Counting) -> None:
    with shell.on_terminal("chat", "set ta=1") as on:
        on.expect("Waits for your approval")
        on.expect("Change ta from None to 1")
        on.expect("low: it is a test")
        on.expect(ASKS)
        assert "\x1b[31m-None" in on.raw
        assert "\x1b[32m+1" in on.raw
        on.type("a")
        on.expect("approved by local")
        on.expect("One result:")
        assert on.ends() == 0
    assert effects(counting, "ta") == ["1"]


def test_a_denial_asks_for_a_reason(shell: Shell, shared_engine: Engine, counting: Counting) -> None:
    with shell.on_terminal("chat", "set tb=1") as on:
        on.expect(ASKS)
        on.type("d")
        on.expect("Why")
        on.type("too early")
        on.expect("denied by local: too early")
        assert on.ends() == 5
    assert effects(counting, "tb") == []


def test_everything_can_be_seen_before_deciding(shell: Shell, shared_engine: Engine) -> None:
    with shell.on_terminal("chat", "set tc=1") as on:
        on.expect(ASKS)
        on.type("s")
        on.expect('"value": "1"')
        on.expect(waiting(shared_engine, "tc")["digest"])
        on.expect(ASKS)
        on.type("l")
        on.expect("skyflo approvals approve")
        assert on.ends() == 3


def test_ctrl_c_at_the_question_leaves_it_waiting(shell: Shell, shared_engine: Engine) -> None:
    with shell.on_terminal("chat", "set td=1") as on:
        on.expect(ASKS)
        on.interrupt()
        assert on.ends() == 3
    assert waiting(shared_engine, "td")["status"] == "pending"


def test_a_waiting_run_is_resumed(shell: Shell, counting: Counting) -> None:
    assert shell.run("chat", "set te=1").code == 3
    with shell.on_terminal("chat", "--resume") as on:
        on.expect("Change te from None to 1")
        on.expect(ASKS)
        on.type("a")
        on.expect("One result:")
        assert on.ends() == 0
    assert effects(counting, "te") == ["1"]


def test_several_are_decided_in_any_order(shell: Shell, counting: Counting) -> None:
    with shell.on_terminal("chat", "set tf=1 and tg=2") as on:
        on.expect("1 of 2")
        on.expect("[n]ext")
        on.type("n")
        on.expect("2 of 2")
        on.expect("[n]ext")
        on.type("a")
        on.expect("Change tf from None to 1")
        on.expect(ASKS)
        on.type("d")
        on.expect("Why")
        on.type("")
        on.expect("denied by local")
        assert on.ends() == 5
    assert (effects(counting, "tf"), effects(counting, "tg")) == ([], ["2"])


def test_a_destructive_change_wants_its_name_typed(shell: Shell, counting: Counting) -> None:
    with shell.on_terminal("chat", "wipe th") as on:
        on.expect("destructive")
        on.expect(ASKS)
        on.type("a")
        on.expect("Type th to approve")
        on.type("yes")
        on.expect("nothing was approved")
        on.expect(ASKS)
        on.type("a")
        on.expect("Type th to approve")
        on.type("th")
        on.expect("approved by local")
        assert on.ends() == 0
    assert len(effects(counting, "th")) == 1


@pytest.mark.parametrize(("approve", "word", "code"), [(True, "approved", 0), (False, "denied", 5)])
def test_a_decision_made_elsewhere_ends_the_question(
    shell: Shell, shared_engine: Engine, approve: bool, word: str, code: int
) -> None:
    name = f"ti{word}"
    with shell.on_terminal("chat", f"set {name}=1") as on:
        on.expect(ASKS)
        assert decide(shared_engine, name, approve).status_code == 200
        on.expect(f"local {word} this")
        assert on.ends() == code


def test_what_was_typed_ahead_approves_nothing(shell: Shell, counting: Counting) -> None:
    with shell.on_terminal("chat", "set tj=1") as on:
        on.type("a\na")
        on.expect(ASKS)
        on.interrupt()
        assert on.ends() == 3
    assert effects(counting, "tj") == []


def test_an_approval_that_expired_is_told(shell: Shell, forge: Forge, counting: Counting) -> None:
    engine = forge.engine("sqlite", counting, APPROVE_WITHIN_SECONDS="2")
    engine.start()
    try:
        shell.server = engine.url.removesuffix("/api/v1")
        with shell.on_terminal("chat", "set tk=1") as on:
            on.expect(ASKS)
            on.expect("xpired")
            assert on.ends() == 5
    finally:
        forge.drop(engine)


def test_foreign_text_moves_nothing_on_the_terminal(shell: Shell) -> None:
    with shell.on_terminal("chat", "speak evil") as on:
        on.expect("[bold]not bold[/bold]")
        assert on.ends() == 0
    assert "owned" not in on.raw
    assert "\x1b[2J" not in on.raw
    assert "\u202e" not in on.raw


def test_what_is_to_be_approved_hides_nothing(shell: Shell) -> None:
    with shell.on_terminal("chat", "write evil") as on:
        on.expect("␛]0;owned")
        on.expect("<U+202E>")
        on.expect(ASKS)
        on.type("s")
        on.expect("Digest")
        on.expect(ASKS)
        on.type("l")
        assert on.ends() == 3
    assert "\x1b]0" not in on.raw
    assert "\x1b[2J" not in on.raw
    assert EVIL not in on.raw


def test_a_narrow_terminal_holds_everything(shell: Shell) -> None:
    with shell.on_terminal("chat", "set tl=1", columns=36) as on:
        on.expect("[l]eave")
        on.type("l")
        assert on.ends() == 3
    assert max(len(line) for line in on.shown.splitlines() if line.startswith(("│", "╭", "╰"))) <= 36


def test_an_answer_in_markdown_grows_and_stays_once(shell: Shell) -> None:
    with shell.on_terminal("chat", "in markdown", rows=12) as on:
        assert on.ends() == 0
    final = on.shown.rpartition("replicas: 2")[2]
    assert "That is all." in final
    assert "• web" in on.shown


def test_thinking_is_folded_to_a_line(shell: Shell) -> None:
    with shell.on_terminal("chat", "think") as on:
        on.expect("Thought for")
        on.expect("Let me see. Yes.")
        assert on.ends() == 0


def test_a_prompt_keeps_to_one_conversation(shell: Shell) -> None:
    with shell.on_terminal("chat") as on:
        on.expect("skyflo> ")
        on.type("hello")
        on.expect("Hello.")
        on.expect("skyflo> ")
        on.type("set tm=1")
        on.expect(ASKS)
        on.type("l")
        on.expect("skyflo> ")
        on.close_input()
        assert on.ends() == 3
    assert shell.run("chat", "--json", "--continue", "hello").code == 0


def test_ctrl_c_stops_the_run_and_shows_its_end(shell: Shell) -> None:
    with shell.on_terminal("chat", "speak slowly") as on:
        on.expect("slowly slowly")
        on.interrupt()
        on.expect("stopping")
        on.expect("Stopped.")
        assert on.ends() == 130


def test_a_second_ctrl_c_leaves_at_once(shell: Shell, engine: Engine) -> None:
    shell.server = engine.url.removesuffix("/api/v1")
    with shell.on_terminal("chat", "speak slowly") as on:
        on.expect("slowly slowly")
        engine.signal(signal.SIGSTOP)
        on.interrupt()
        on.expect("stopping")
        on.interrupt()
        assert on.ends() == 130
        engine.signal(signal.SIGCONT)


def test_a_restarted_engine_is_followed_to_the_end(shell: Shell, engine: Engine) -> None:
    shell.server = engine.url.removesuffix("/api/v1")
    with shell.on_terminal("chat", "speak at length") as on:
        on.expect("word20")
        engine.kill()
        on.expect("reconnecting")
        engine.start()
        on.expect("reconnected")
        on.expect("word149")
        assert on.ends() == 0


def test_a_stale_preview_is_told_and_asked_anew(shell: Shell, counting: Counting) -> None:
    with shell.on_terminal("chat", "set tn=1") as on:
        on.expect(ASKS)
        counting.order(set={"tn": "other"})
        on.type("a")
        on.expect("stale")
        on.expect("Change tn from other to 1")
        on.expect(ASKS)
        on.type("a")
        on.expect("One result:")
        assert on.ends() == 0
    assert effects(counting, "tn") == ["1"]


def test_a_retry_is_told(shell: Shell) -> None:
    with shell.on_terminal("chat", "busy once") as on:
        on.expect("Attempt 1 of")
        assert on.ends() == 0


def test_a_busy_conversation_is_refused_with_a_way_on(shell: Shell) -> None:
    with shell.on_terminal("chat", "speak slowly") as on:
        on.expect("slowly slowly")
        refused = shell.run("chat", "--continue", "hello")
        assert (refused.code, "skyflo chat --resume" in refused.err) == (4, True)
        with shell.on_terminal("chat", "--resume") as second:
            second.expect("slowly slowly")
            assert shell.run("stop").code == 0
            second.expect("Stopped.")
            assert second.ends() == 130
        assert on.ends() == 130
