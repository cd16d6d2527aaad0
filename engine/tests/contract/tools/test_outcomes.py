"""What became of a change, whatever the tool, the wire or the server did (`protocol.md` 11 to 14)."""

import asyncio
import json
from dataclasses import replace

import pytest

from src.api.utils.canonical import canonical
from tests.support.counting import Counting
from tests.support.tool_bench import Bench, JumpingClock, configured, open_bench
from tests.support.waiting import eventually

ACTED = ["drop", "half", "401", "502", "503", "garbage", "header_mismatch", "json_error", "redirect"]
NOT_ACTED = ["refuse_503", "drop_before"]
SAID = [
    # fault, outcome, effect that is told, code, effects that happened
    ("error_none", "failed", "none", "refused", 0),
    ("stale", "failed", "none", "stale_preview", 0),
    ("error_done", "unknown", "done", "broke", 1),
    ("error_partial", "unknown", "partial", "broke", 1),
    ("error_unknown", "unknown", "unknown", "broke", 1),
    ("error_plain", "unknown", "unknown", "tool_error", 1),
    ("input_required", "unknown", "unknown", "no_answer", 1),
]


async def test_a_change_that_is_answered_succeeded_and_is_counted_once(bench: Bench, own: Counting) -> None:
    reply = await bench.change("a-1")
    assert (reply.outcome, reply.effect, reply.error) == ("succeeded", "done", None)
    assert [effect.approval for effect in own.effects()] == ["a-1"]


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("fault", ACTED + NOT_ACTED)
async def test_without_a_readable_answer_the_outcome_is_unknown_and_one_request_was_sent(
    bench: Bench, own: Counting, fault: str
) -> None:
    own.order(fault=fault)
    reply = await bench.change()
    assert (reply.outcome, reply.code) == ("unknown", "no_answer")
    assert own.requests() == 1
    assert len(own.effects()) == (fault in ACTED)


@pytest.mark.promise("unknown")
@pytest.mark.parametrize(("fault", "outcome", "effect", "code", "happened"), SAID)
async def test_our_own_tools_errors_are_read_by_their_effect(
    bench: Bench, own: Counting, fault: str, outcome: str, effect: str, code: str, happened: int
) -> None:
    own.order(fault=fault)
    reply = await bench.change()
    assert (reply.outcome, reply.effect, reply.code) == (outcome, effect, code)
    assert (own.requests(), len(own.effects())) == (1, happened)


@pytest.mark.promise("unknown")
async def test_a_server_that_hangs_is_given_up_at_the_deadline_as_unknown(bench: Bench, own: Counting) -> None:
    own.order(fault="hang")
    reply = await bench.change(deadline=0.5)
    assert reply.outcome == "unknown"
    assert "0.5 s" in str(reply.error)
    assert (own.requests(), len(own.effects())) == (1, 1)


@pytest.mark.promise("unknown")
async def test_a_strangers_error_does_not_rule_effects_out(foreign: Counting) -> None:
    async with open_bench(configured(foreign)) as bench:
        await bench.seen("up")
        foreign.order(fault="error_none")
        reply = await bench.change()
    assert (reply.outcome, reply.effect) == ("failed", "unknown")
    assert "Effects are not ruled out" in str(reply.error)


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize("fault", ["drop", "503", "json_error", "redirect"])
async def test_the_older_protocol_sends_no_change_twice_either(legacy: Counting, fault: str) -> None:
    async with open_bench(configured(legacy)) as bench:
        await bench.seen("up")
        legacy.order(fault=fault)
        assert (await bench.change()).outcome == "unknown"
        assert (await bench.change()).outcome == "succeeded"
    assert (legacy.requests(), len(legacy.effects())) == (2, 2)


@pytest.mark.promise("unknown")
async def test_a_server_that_is_not_there_was_never_sent_anything(lone: Counting) -> None:
    lone.start()
    async with open_bench(configured(lone)) as bench:
        await bench.seen("up")
        request = await bench.request()
        lone.kill()
        reply = await bench.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "never_sent")
    assert lone.requests() == 0


@pytest.mark.promise("once", "unknown")
@pytest.mark.parametrize(
    ("fault", "happened", "settled"), [("crash", 1, "succeeded"), ("crash_before", 0, "never_ran")]
)
async def test_a_server_that_dies_in_a_change_leaves_it_unknown_until_it_is_asked(
    lone: Counting, fault: str, happened: int, settled: str
) -> None:
    lone.start()
    async with open_bench(configured(lone)) as bench:
        await bench.seen("up")
        lone.order(fault=fault)
        assert (await bench.change("a-1")).outcome == "unknown"
        await bench.seen("down")
        assert (await bench.servers.settle("own", "a-1")).state == "cannot_tell"
        lone.kill()
        lone.start()
        await bench.seen("up")
        assert (await bench.servers.settle("own", "a-1")).state == settled
        again = await bench.change("a-1")
    assert (again.outcome, again.code) == (("unknown", "grant_used") if happened else ("failed", "grant_revoked"))
    assert len(lone.effects()) == happened


@pytest.mark.promise("once", "unknown")
async def test_a_grant_that_somebody_on_the_way_sent_twice_leaves_the_outcome_unknown(
    bench: Bench, own: Counting
) -> None:
    assert (await bench.change("a-1")).outcome == "succeeded"
    again = await bench.change("a-1")
    assert (again.outcome, again.effect, again.code) == ("unknown", "unknown", "grant_used")
    assert (await bench.servers.settle("own", "a-1")).state == "succeeded"
    assert len(own.effects()) == 1


@pytest.mark.promise("once")
async def test_a_call_that_is_late_is_not_sent(own: Counting) -> None:
    clock = JumpingClock()
    async with open_bench(configured(own), clock=clock) as bench:
        await bench.seen("up")
        request = await bench.request(send_within=10)
        clock.jump(60)
        reply = await bench.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "never_ran")
    assert own.requests() == 0


@pytest.mark.promise("once")
async def test_a_granted_change_runs_on_when_its_caller_is_cancelled(bench: Bench, own: Counting) -> None:
    own.order(fault="slow")
    caller = asyncio.create_task(bench.change("a-1"))
    await eventually(lambda: own.requests() == 1, what="the request")
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await eventually(lambda: own.store.grant("a-1") == "succeeded", what="the end of the change")
    assert own.requests() == 1


async def test_leaving_waits_for_a_change_under_way(own: Counting) -> None:
    async with open_bench(configured(own)) as bench:
        await bench.seen("up")
        own.order(fault="slow")
        call = asyncio.create_task(bench.change("a-1"))
        await eventually(lambda: own.requests() == 1, what="the request")
    assert call.done()
    assert (await call).outcome == "succeeded"


@pytest.mark.promise("once")
async def test_other_calls_that_fail_do_no_harm_to_a_change_under_way(bench: Bench, own: Counting) -> None:
    own.order(fault="slow", tool="change_thing")
    change = asyncio.create_task(bench.change())
    await eventually(lambda: own.requests() == 1, what="the request")
    for fault in ("drop", "half", "garbage", "503"):
        own.order(fault=fault, tool="read_thing")
        assert (await bench.read({})).outcome == "failed"
    assert (await change).outcome == "succeeded"


@pytest.mark.promise("bound")
async def test_a_grant_covers_the_very_text_that_was_approved(bench: Bench, own: Counting) -> None:
    request = replace(await bench.request(), args='{"name": "a", "value": "1"}')
    reply = await bench.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "grant_mismatch")
    assert own.effects() == []


@pytest.mark.promise("no-approval-no-effect")
async def test_a_grant_of_another_key_is_refused(own: Counting) -> None:
    async with open_bench(configured(own, grant_key="another key that is as long as it must be")) as bench:
        await bench.seen("up")
        reply = await bench.change()
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "grant_invalid")
    assert own.effects() == []


@pytest.mark.promise("bound")
@pytest.mark.parametrize("value", ["1e16", "0.1", "-0.0", "12345678901234567890123", '"\\"ä\u2028😀"', "[{}]", "null"])
async def test_arguments_arrive_as_the_value_that_was_signed(bench: Bench, own: Counting, value: str) -> None:
    args = canonical({"name": "a", "value": json.loads(value)})
    reply = await bench.servers.call(replace(await bench.request(), args=args))
    assert reply.outcome == "succeeded", reply.error
    assert len(own.effects()) == 1
