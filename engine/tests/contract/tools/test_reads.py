"""Reads: fast, at the same time, bounded, cancelled, and without secrets."""

import asyncio

import pytest

from tests.support.counting import Counting
from tests.support.tool_bench import Bench, configured, open_bench
from tests.support.waiting import eventually

READ_FAULTS = ["drop", "half", "502", "503", "401", "garbage", "header_mismatch", "json_error", "error_none"]


async def test_five_slow_reads_are_open_at_the_same_time(bench: Bench) -> None:
    """None of them answers before all have come."""
    replies = await asyncio.gather(*(bench.read({"together": 5}, "slow_read") for _ in range(5)))
    assert [reply.outcome for reply in replies] == ["succeeded"] * 5


@pytest.mark.parametrize("fault", READ_FAULTS)
async def test_a_read_without_an_answer_just_failed_and_the_next_one_works(
    bench: Bench, own: Counting, fault: str
) -> None:
    own.order(fault=fault)
    reply = await bench.read({})
    assert (reply.outcome, reply.error is None) == ("failed", False)
    assert (await bench.read({})).outcome == "succeeded"


async def test_a_cancelled_read_stops_at_the_server(bench: Bench, own: Counting) -> None:
    call = asyncio.create_task(bench.read({"ms": 60_000}, "slow_read", deadline=90))
    await eventually(lambda: own.told()["running"] == 1, what="the read")
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await eventually(lambda: own.told()["running"] == 0, what="the end of the read")
    assert (await bench.read({})).outcome == "succeeded"


async def test_a_read_that_outlasts_its_deadline_stops_at_the_server_too(bench: Bench, own: Counting) -> None:
    reply = await bench.read({"ms": 60_000}, "slow_read", deadline=0.3)
    assert (reply.outcome, reply.code) == ("failed", "no_answer")
    await eventually(lambda: own.told()["running"] == 0, what="the end of the read")


async def test_progress_comes_through_and_not_too_fast(bench: Bench) -> None:
    told: list[tuple[str | None, float | None, float | None]] = []

    async def progress(message: str | None, done: float | None, total: float | None) -> None:
        told.append((message, done, total))

    await bench.read({"ms": 600, "steps": 60}, "slow_read", progress=progress)
    assert told[0] == ("step 1", 1, 60)
    assert 2 <= len(told) <= 10


@pytest.mark.promise("bounded")
async def test_a_large_result_is_cut_and_says_so(bench: Bench, own: Counting) -> None:
    own.order(fault="huge")
    reply = await bench.read({})
    assert reply.outcome == "succeeded"
    text = str(reply.content[0])
    assert len(text) < 300_000
    assert "more characters were cut" in text


@pytest.mark.promise("secrets")
async def test_secrets_and_broken_characters_do_not_pass(bench: Bench, own: Counting) -> None:
    own.order(fault="secret")
    shown = str(await bench.read({}))
    assert "hunter2-canary" not in shown
    assert "masked, 14 bytes, " in shown
    assert "\\x00" not in shown
    assert "\ufffd" in shown


async def test_the_older_protocol_reads_too(legacy: Counting) -> None:
    async with open_bench(configured(legacy)) as bench:
        await bench.seen("up")
        assert (await bench.read({"name": "a"})).structured == {"name": "a", "value": None}
        legacy.order(fault="drop")
        assert (await bench.read({})).outcome == "failed"
        assert (await bench.read({})).outcome == "succeeded"
