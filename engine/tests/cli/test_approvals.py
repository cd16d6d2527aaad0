"""Deciding away from the conversation, by hand and by script."""

import json
from typing import Any

from tests.support.counting import Counting
from tests.support.engines import Engine, Forge
from tests.support.terminal import Shell


def proposed(shell: Shell, name: str) -> dict[str, Any]:
    """A change that waits."""
    done = shell.run("chat", "--json", f"set {name}=1")
    assert done.code == 3
    return next(event for event in done.events if event["type"] == "tool.awaiting_approval")


def effects(counting: Counting, name: str) -> list[str]:
    return [effect.value for effect in counting.effects() if effect.name == name]


def test_the_inbox_lists_what_waits(shell: Shell) -> None:
    call = proposed(shell, "aa")
    listed = shell.run("approvals")
    assert listed.code == 0
    assert call["call_id"] in listed.out
    assert "Change aa from None to 1" in listed.out
    found = [json.loads(line) for line in shell.run("approvals", "list", "--json", "--limit", "1").out.splitlines()]
    assert [each["call_id"] for each in found] == [call["call_id"]]


def test_lists_are_read_page_by_page_up_to_the_limit(shell: Shell) -> None:
    for _ in range(3):
        shell.run("chat", "hello")
    assert len(shell.run("runs", "--json", "--limit", "2").out.splitlines()) == 2
    assert len(shell.run("runs", "--json", "--limit", "60").out.splitlines()) >= 3


def test_one_is_shown_whole(shell: Shell) -> None:
    call = proposed(shell, "ab")
    shown = shell.run("approvals", "show", call["call_id"])
    assert shown.code == 0
    for words in ("Change ab from None to 1", "low: it is a test", call["digest"], '"value": "1"', "requested"):
        assert words in shown.out
    assert shell.run("approvals", "show", call["call_id"], "--json").json["digest"] == call["digest"]


def test_a_script_approves_what_it_has_seen_and_nothing_else(shell: Shell, counting: Counting) -> None:
    call = proposed(shell, "ac")
    blind = shell.run("approvals", "approve", call["call_id"])
    assert (blind.code, "--digest" in blind.err) == (2, True)
    wrong = shell.run("approvals", "approve", call["call_id"], "--digest", "0" * 64)
    assert (wrong.code, "not what is shown" in wrong.err) == (4, True)
    assert effects(counting, "ac") == []
    done = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"], "--json")
    assert done.code == 0
    assert done.events[-1]["type"] == "workflow_complete"
    assert effects(counting, "ac") == ["1"]


def test_a_person_is_shown_the_diff_and_asked(shell: Shell, counting: Counting) -> None:
    call = proposed(shell, "ad")
    with shell.on_terminal("approvals", "approve", call["call_id"]) as on:
        on.expect("+1")
        on.expect("[l]eave")
        on.type("a")
        on.expect("One result:")
        assert on.ends() == 0
    assert effects(counting, "ad") == ["1"]


def test_what_is_decided_is_told_with_who_and_when(shell: Shell, counting: Counting) -> None:
    call = proposed(shell, "ae")
    denied = shell.run("approvals", "deny", call["call_id"], "--reason", "not now")
    assert (denied.code, "denied by local: not now" in denied.err) == (5, True)
    late = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"])
    assert late.code == 4
    assert "local denied this call already (" in late.err
    assert "Denied by local" in shell.run("approvals", "show", call["call_id"]).out
    assert effects(counting, "ae") == []


def test_what_is_superseded_is_told(shell: Shell) -> None:
    call = proposed(shell, "af")
    assert shell.run("chat", "--continue", "hello").code == 0
    late = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"])
    assert late.code == 4
    assert "superseded" in late.err


def test_an_unknown_outcome_is_verified_never_run_again(shell: Shell, forge: Forge, counting: Counting) -> None:
    engine = forge.engine("sqlite", counting)
    engine.start()
    shell.server = engine.url.removesuffix("/api/v1")
    try:
        call = proposed(shell, "ag")
        counting.order(fault="error_partial", tool="change_thing")
        done = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"])
        assert done.code == 5
        assert f"skyflo approvals verify {call['call_id']}" in done.err
        looked = shell.run("approvals", "verify", call["call_id"])
        assert looked.code == 5
        assert "Evidence: looks_" in looked.out
        again = proposed(shell, "ag")
        refused = shell.run("approvals", "approve", again["call_id"], "--digest", again["digest"])
        assert f"skyflo approvals verify {call['call_id']}" in refused.err
        told = ("--outcome", "applied", "--reason", "I looked")
        assert shell.run("approvals", "verify", call["call_id"], *told).code == 0
        assert effects(counting, "ag") == ["1"]
    finally:
        forge.drop(engine)


def test_an_unknown_outcome_may_be_verified_at_once(shell: Shell, counting: Counting) -> None:
    counting.order(fault="drop", tool="change_thing")
    with shell.on_terminal("chat", "set ah=1") as on:
        on.expect("[l]eave waiting")
        on.type("a")
        on.expect("outcome unknown")
        on.expect("Ask now?")
        on.type("y")
        on.expect("outcome: succeeded")
        assert on.ends() == 0
    assert effects(counting, "ah") == ["1"]


def test_nonsense_is_refused(shell: Shell) -> None:
    assert shell.run("approvals", "show", "../../health").code == 2
    assert shell.run("approvals", "show", "01890000-0000-7000-8000-000000000000").code == 4
    assert shell.run("approvals", "--status", "nonsense").code == 2
    assert shell.run("approvals", "verify", "01890000-0000-7000-8000-000000000000", "--reason", "x").code == 2


def test_runs_are_listed_and_stopped(shell: Shell, shared_engine: Engine) -> None:
    assert shell.run("chat", "refuse me").code == 1
    call = proposed(shell, "ai")
    [row] = [line for line in shell.run("runs").out.splitlines() if call["run_id"] in line]
    assert call["conversation_id"] in row
    assert shell.run("runs", "--state", "awaiting_approval", "--json").out.count(call["run_id"]) == 1
    assert shell.run("stop").code == 0
    assert shell.run("runs", "--conversation", call["conversation_id"], "--json").json["state"] == "stopped"
    assert shell.run("stop", call["run_id"], "--json").json["status"] == "stopped"
    resumed = shell.run("chat", "--resume")
    assert (resumed.code, "Nothing to resume" in resumed.err) == (1, True)
