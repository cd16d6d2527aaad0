"""Outcomes of changes for every fault of the tool, the wire or the server (`protocol.md`, rules 11 to 14)."""

import asyncio
import json
from dataclasses import replace

import pytest

from src.api.utils.canonical import canonical
from tests.support.counting_process import CountingProcess
from tests.support.tool_harness import JumpingClock, ToolHarness, open_tool_harness, server_config
from tests.support.waiting import eventually

FAULTS_AFTER_EFFECT = ["drop", "half", "401", "502", "503", "garbage", "header_mismatch", "json_error", "redirect"]
FAULTS_BEFORE_EFFECT = ["refuse_503", "drop_before"]
REPORTED_ERRORS = [
    # fault, outcome, reported effect, code, number of effects
    ("error_none", "failed", "none", "refused", 0),
    ("stale", "failed", "none", "stale_preview", 0),
    ("error_done", "unknown", "done", "broke", 1),
    ("error_partial", "unknown", "partial", "broke", 1),
    ("error_unknown", "unknown", "unknown", "broke", 1),
    ("error_plain", "unknown", "unknown", "tool_error", 1),
    ("input_required", "unknown", "unknown", "no_answer", 1),
]


async def test_answered_change_succeeds_once(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    reply = await harness.change("a-1")
    assert (reply.outcome, reply.effect, reply.error) == ("succeeded", "done", None)
    assert [effect.approval for effect in trusted_server.effects()] == ["a-1"]


@pytest.mark.promise("once")
async def test_change_is_sent_on_new_connection(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    """A server that closes a kept connection at that moment would make its outcome unknown."""
    await harness.read({})
    trusted_server.control(fault="kept_closed")
    assert (await harness.change()).outcome == "succeeded"
    assert (trusted_server.requests(), len(trusted_server.effects())) == (1, 1)


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("fault", FAULTS_AFTER_EFFECT + FAULTS_BEFORE_EFFECT)
async def test_unreadable_answer_makes_outcome_unknown_after_one_request(
    harness: ToolHarness, trusted_server: CountingProcess, fault: str
) -> None:
    trusted_server.control(fault=fault)
    reply = await harness.change()
    assert (reply.outcome, reply.code) == ("unknown", "no_answer")
    assert trusted_server.requests() == 1
    assert len(trusted_server.effects()) == (fault in FAULTS_AFTER_EFFECT)


@pytest.mark.promise("unknown")
@pytest.mark.parametrize(("fault", "outcome", "effect", "code", "happened"), REPORTED_ERRORS)
async def test_trusted_errors_are_classified_by_effect(
    harness: ToolHarness,
    trusted_server: CountingProcess,
    fault: str,
    outcome: str,
    effect: str,
    code: str,
    happened: int,
) -> None:
    trusted_server.control(fault=fault)
    reply = await harness.change()
    assert (reply.outcome, reply.effect, reply.code) == (outcome, effect, code)
    assert (trusted_server.requests(), len(trusted_server.effects())) == (1, happened)


@pytest.mark.promise("unknown")
async def test_hanging_change_is_unknown_at_deadline(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    trusted_server.control(fault="hang")
    reply = await harness.change(deadline=0.5)
    assert reply.outcome == "unknown"
    assert "0.5 s" in str(reply.error)
    assert (trusted_server.requests(), len(trusted_server.effects())) == (1, 1)


@pytest.mark.promise("unknown")
async def test_untrusted_error_does_not_rule_out_effects(untrusted_server: CountingProcess) -> None:
    async with open_tool_harness(server_config(untrusted_server)) as harness:
        await harness.wait_for_state("up")
        untrusted_server.control(fault="error_none")
        reply = await harness.change()
    assert (reply.outcome, reply.effect) == ("failed", "unknown")
    assert "It may have changed something" in str(reply.error)


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("fault", ["drop", "503", "json_error", "redirect"])
async def test_legacy_protocol_does_not_repeat_change(legacy_server: CountingProcess, fault: str) -> None:
    async with open_tool_harness(server_config(legacy_server)) as harness:
        await harness.wait_for_state("up")
        legacy_server.control(fault=fault)
        assert (await harness.change()).outcome == "unknown"
        assert (await harness.change()).outcome == "succeeded"
    assert (legacy_server.requests(), len(legacy_server.effects())) == (2, 2)


@pytest.mark.promise("unknown")
async def test_change_is_not_sent_to_dead_server(stopped_server: CountingProcess) -> None:
    stopped_server.start()
    async with open_tool_harness(server_config(stopped_server)) as harness:
        await harness.wait_for_state("up")
        request = await harness.request()
        stopped_server.kill()
        reply = await harness.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "never_sent")
    assert stopped_server.requests() == 0


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize(
    ("fault", "happened", "settled"), [("crash", 1, "succeeded"), ("crash_before", 0, "never_ran")]
)
async def test_server_crash_leaves_outcome_unknown_until_settled(
    stopped_server: CountingProcess, fault: str, happened: int, settled: str
) -> None:
    stopped_server.start()
    async with open_tool_harness(server_config(stopped_server)) as harness:
        await harness.wait_for_state("up")
        stopped_server.control(fault=fault)
        assert (await harness.change("a-1")).outcome == "unknown"
        await harness.wait_for_state("down")
        assert (await harness.servers.settle("own", "a-1")).state == "cannot_tell"
        stopped_server.kill()
        stopped_server.start()
        await harness.wait_for_state("up")
        assert (await harness.servers.settle("own", "a-1")).state == settled
        again = await harness.change("a-1")
    assert (again.outcome, again.code) == (("unknown", "grant_used") if happened else ("failed", "grant_revoked"))
    assert len(stopped_server.effects()) == happened


@pytest.mark.promise("once", "unknown")
async def test_reused_grant_leaves_outcome_unknown(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    assert (await harness.change("a-1")).outcome == "succeeded"
    again = await harness.change("a-1")
    assert (again.outcome, again.effect, again.code) == ("unknown", "unknown", "grant_used")
    assert (await harness.servers.settle("own", "a-1")).state == "succeeded"
    assert len(trusted_server.effects()) == 1


@pytest.mark.promise("once")
async def test_late_call_is_not_sent(trusted_server: CountingProcess) -> None:
    clock = JumpingClock()
    async with open_tool_harness(server_config(trusted_server), clock=clock) as harness:
        await harness.wait_for_state("up")
        request = await harness.request(send_within=10)
        clock.jump(60)
        reply = await harness.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "never_ran")
    assert trusted_server.requests() == 0


@pytest.mark.promise("once")
async def test_change_continues_when_caller_is_cancelled(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    trusted_server.control(fault="slow")
    caller = asyncio.create_task(harness.change("a-1"))
    await eventually(lambda: trusted_server.requests() == 1, what="the request")
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await eventually(lambda: trusted_server.store.grant("a-1") == "succeeded", what="the end of the change")
    assert trusted_server.requests() == 1


async def test_closing_waits_for_started_change(trusted_server: CountingProcess) -> None:
    async with open_tool_harness(server_config(trusted_server)) as harness:
        await harness.wait_for_state("up")
        trusted_server.control(fault="slow")
        call = asyncio.create_task(harness.change("a-1"))
        await eventually(lambda: trusted_server.requests() == 1, what="the request")
    assert call.done()
    assert (await call).outcome == "succeeded"


@pytest.mark.promise("once")
async def test_failing_reads_do_not_disturb_started_change(
    harness: ToolHarness, trusted_server: CountingProcess
) -> None:
    trusted_server.control(fault="slow", tool="change_thing")
    change = asyncio.create_task(harness.change())
    await eventually(lambda: trusted_server.requests() == 1, what="the request")
    for fault in ("drop", "half", "garbage", "503"):
        trusted_server.control(fault=fault, tool="read_thing")
        assert (await harness.read({})).outcome == "failed"
    assert (await change).outcome == "succeeded"


@pytest.mark.promise("bound")
async def test_grant_covers_exact_argument_text(harness: ToolHarness, trusted_server: CountingProcess) -> None:
    request = replace(await harness.request(), args='{"name": "a", "value": "1"}')
    reply = await harness.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "grant_mismatch")
    assert trusted_server.effects() == []


@pytest.mark.promise("no-approval-no-effect")
async def test_grant_signed_with_another_key_is_refused(trusted_server: CountingProcess) -> None:
    async with open_tool_harness(
        server_config(trusted_server, grant_key="another key that is as long as it must be")
    ) as harness:
        await harness.wait_for_state("up")
        reply = await harness.change()
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "grant_invalid")
    assert trusted_server.effects() == []


@pytest.mark.promise("bound")
@pytest.mark.parametrize("value", ["1e16", "0.1", "-0.0", "12345678901234567890123", '"\\"ä\u2028😀"', "[{}]", "null"])
async def test_signed_arguments_arrive_unchanged(
    harness: ToolHarness, trusted_server: CountingProcess, value: str
) -> None:
    args = canonical({"name": "a", "value": json.loads(value)})
    reply = await harness.servers.call(replace(await harness.request(), args=args))
    assert reply.outcome == "succeeded", reply.error
    assert len(trusted_server.effects()) == 1
