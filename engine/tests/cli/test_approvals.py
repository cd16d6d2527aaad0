"""Test `skyflo approvals` and `skyflo runs`, at a terminal and in scripts."""

import json
from typing import Any

from tests.support.counting_process import CountingProcess
from tests.support.engines import EngineFactory, EngineProcess
from tests.support.terminal import Shell


def propose_change(shell: Shell, name: str) -> dict[str, Any]:
    """Propose a change and return its pending approval."""
    done = shell.run("chat", "--json", f"set {name}=1")
    assert done.code == 3
    return next(event for event in done.events if event["type"] == "tool.awaiting_approval")


def list_effects(counting: CountingProcess, name: str) -> list[str]:
    return [effect.value for effect in counting.effects() if effect.name == name]


def test_list_shows_pending_approvals(shell: Shell) -> None:
    call = propose_change(shell, "aa")
    listed = shell.run("approvals")
    assert listed.code == 0
    assert call["call_id"] in listed.out
    assert "Change aa from None to 1" in listed.out
    found = [json.loads(line) for line in shell.run("approvals", "list", "--json", "--limit", "1").out.splitlines()]
    assert [approval["call_id"] for approval in found] == [call["call_id"]]


def test_limit_bounds_the_number_of_entries(shell: Shell) -> None:
    for _ in range(3):
        shell.run("chat", "hello")
    assert len(shell.run("runs", "--json", "--limit", "2").out.splitlines()) == 2
    assert len(shell.run("runs", "--json", "--limit", "60").out.splitlines()) >= 3


def test_show_prints_preview_digest_and_history(shell: Shell) -> None:
    call = propose_change(shell, "ab")
    shown = shell.run("approvals", "show", call["call_id"])
    assert shown.code == 0
    for expected in ("Change ab from None to 1", "low: it is a test", call["digest"], '"value": "1"', "requested"):
        assert expected in shown.out
    assert shell.run("approvals", "show", call["call_id"], "--json").json["digest"] == call["digest"]


def test_script_approves_only_with_the_right_digest(shell: Shell, counting: CountingProcess) -> None:
    call = propose_change(shell, "ac")
    without_digest = shell.run("approvals", "approve", call["call_id"])
    assert (without_digest.code, "--digest" in without_digest.err) == (2, True)
    wrong = shell.run("approvals", "approve", call["call_id"], "--digest", "0" * 64)
    assert (wrong.code, "not what is shown" in wrong.err) == (4, True)
    assert list_effects(counting, "ac") == []
    done = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"], "--json")
    assert done.code == 0
    assert done.events[-1]["type"] == "workflow_complete"
    assert list_effects(counting, "ac") == ["1"]


def test_approve_at_terminal_shows_the_diff_and_asks(shell: Shell, counting: CountingProcess) -> None:
    call = propose_change(shell, "ad")
    with shell.on_terminal("approvals", "approve", call["call_id"]) as on:
        on.expect("+1")
        on.expect("[l]eave")
        on.type("a")
        on.expect("One result:")
        assert on.wait_for_exit() == 0
    assert list_effects(counting, "ad") == ["1"]


def test_late_decision_names_who_decided_and_when(shell: Shell, counting: CountingProcess) -> None:
    call = propose_change(shell, "ae")
    denied = shell.run("approvals", "deny", call["call_id"], "--reason", "not now")
    assert (denied.code, "denied by local: not now" in denied.err) == (5, True)
    late = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"])
    assert late.code == 4
    assert "local denied this call already (" in late.err
    assert "Denied by local" in shell.run("approvals", "show", call["call_id"]).out
    assert list_effects(counting, "ae") == []


def test_approving_a_superseded_call_is_refused(shell: Shell) -> None:
    call = propose_change(shell, "af")
    assert shell.run("chat", "--continue", "hello").code == 0
    late = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"])
    assert late.code == 4
    assert "superseded" in late.err


def test_verify_never_runs_a_call_with_unknown_outcome_again(
    shell: Shell, engine_factory: EngineFactory, counting: CountingProcess
) -> None:
    engine = engine_factory.engine("sqlite", counting)
    engine.start()
    shell.server = engine.url.removesuffix("/api/v1")
    try:
        call = propose_change(shell, "ag")
        counting.control(fault="error_partial", tool="change_thing")
        done = shell.run("approvals", "approve", call["call_id"], "--digest", call["digest"])
        assert done.code == 5
        assert f"skyflo approvals verify {call['call_id']}" in done.err
        checked = shell.run("approvals", "verify", call["call_id"])
        assert checked.code == 5
        assert "Evidence: looks_" in checked.out
        again = propose_change(shell, "ag")
        refused = shell.run("approvals", "approve", again["call_id"], "--digest", again["digest"])
        assert f"skyflo approvals verify {call['call_id']}" in refused.err
        recorded = ("--outcome", "applied", "--reason", "I looked")
        assert shell.run("approvals", "verify", call["call_id"], *recorded).code == 0
        assert list_effects(counting, "ag") == ["1"]
    finally:
        engine_factory.drop(engine)


def test_chat_offers_to_verify_an_unknown_outcome(shell: Shell, counting: CountingProcess) -> None:
    counting.control(fault="drop", tool="change_thing")
    with shell.on_terminal("chat", "set ah=1") as on:
        on.expect("[l]eave waiting")
        on.type("a")
        on.expect("outcome unknown")
        on.expect("Verify now?")
        on.type("y")
        on.expect("outcome: succeeded")
        assert on.wait_for_exit() == 0
    assert list_effects(counting, "ah") == ["1"]


def test_invalid_ids_and_options_are_refused(shell: Shell) -> None:
    assert shell.run("approvals", "show", "../../health").code == 2
    assert shell.run("approvals", "show", "01890000-0000-7000-8000-000000000000").code == 4
    assert shell.run("approvals", "--status", "nonsense").code == 2
    assert shell.run("approvals", "verify", "01890000-0000-7000-8000-000000000000", "--reason", "x").code == 2


def test_runs_are_listed_and_stopped(shell: Shell, shared_engine: EngineProcess) -> None:
    assert shell.run("chat", "refuse me").code == 1
    call = propose_change(shell, "ai")
    [row] = [line for line in shell.run("runs").out.splitlines() if call["run_id"] in line]
    assert call["conversation_id"] in row
    assert shell.run("runs", "--state", "awaiting_approval", "--json").out.count(call["run_id"]) == 1
    assert shell.run("stop").code == 0
    assert shell.run("runs", "--conversation", call["conversation_id"], "--json").json["state"] == "stopped"
    assert shell.run("stop", call["run_id"], "--json").json["status"] == "stopped"
    resumed = shell.run("chat", "--resume")
    assert (resumed.code, "Nothing to resume" in resumed.err) == (1, True)
