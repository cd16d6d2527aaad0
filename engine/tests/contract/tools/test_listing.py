"""What is believed of the servers' lists, and what happens when they change."""

import asyncio

import pytest

from src.api.adapters.tools.endpoint import Endpoint, FixedEndpoint, ServerConfig
from src.api.ports import Preview, ToolRequest
from tests.support.counting import Counting
from tests.support.tool_bench import Bench, JumpingClock, configured, open_bench
from tests.support.waiting import eventually

NOWHERE = ServerConfig("own", FixedEndpoint(Endpoint("http://127.0.0.1:9/mcp")), trusted=True)


async def test_what_a_model_may_see(bench: Bench) -> None:
    tools = await bench.servers.tools()
    assert sorted(tools) == ["change_thing", "read_thing", "slow_read", "wipe_thing"]
    assert [name for name, spec in tools.items() if spec.read] == ["read_thing", "slow_read"]
    assert (tools["change_thing"].preview, tools["wipe_thing"].destructive) == ("change_thing_preview", True)


@pytest.mark.promise("fail-closed", "no-approval-no-effect")
@pytest.mark.parametrize("tool", ["change_thing", "wipe_thing", "change_thing_preview", "grant_settle", "no_such_tool"])
async def test_nothing_but_a_listed_read_runs_without_an_approval(bench: Bench, own: Counting, tool: str) -> None:
    reply = await bench.read({"name": "a", "value": "1", "id": "a"}, tool=tool)
    assert (reply.outcome, reply.effect) == ("failed", "none")
    assert reply.code in ("approval_needed", "unknown_tool")
    assert own.requests(tool) == 0


@pytest.mark.promise("fail-closed")
async def test_a_strangers_hints_are_not_believed(foreign: Counting) -> None:
    async with open_bench(configured(foreign)) as bench:
        await bench.seen("up")
        tools = await bench.servers.tools()
        reply = await bench.read({})
    assert not any(spec.read or spec.preview or spec.trusted for spec in tools.values())
    assert all(spec.destructive for spec in tools.values())
    assert reply.code == "approval_needed"
    assert foreign.requests("read_thing") == 0


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize("hints", [{}, {"readOnlyHint": False}, {"readOnlyHint": True, "destructiveHint": True}])
async def test_a_tool_whose_hint_flips_asks_as_soon_as_the_server_says_so(
    bench: Bench, own: Counting, hints: dict[str, bool]
) -> None:
    before = await bench.spec("read_thing")
    own.order(hints={"read_thing": hints})

    async def flipped() -> bool:
        return not (await bench.spec("read_thing")).read

    await eventually(flipped, what="the flip")
    request = ToolRequest("own", "read_thing", "{}", 5, schema_hash=before.schema_hash)
    assert (await bench.servers.call(request)).code == "schema_changed"
    assert (await bench.read({})).code == "approval_needed"
    assert own.requests("read_thing") == 0


@pytest.mark.promise("fail-closed", "bound")
@pytest.mark.parametrize("order", [{"schema": {"change_thing": {"type": "object"}}}, {"hints": {"change_thing": {}}}])
async def test_a_change_that_is_not_what_was_approved_is_not_sent_even_if_nobody_said_so(
    own: Counting, order: dict[str, object]
) -> None:
    clock = JumpingClock()
    async with open_bench(configured(own), clock=clock) as bench:
        await bench.seen("up")
        request = await bench.request(send_within=10)
        own.order(**order, notify=False)
        clock.jump(5)
        reply = await bench.servers.call(request)
    assert (reply.outcome, reply.effect, reply.code) == ("failed", "none", "schema_changed")
    assert own.requests() == 0


async def test_two_servers_tools_of_one_name_are_told_apart(own: Counting, foreign: Counting) -> None:
    async with open_bench(configured(own), configured(foreign, "other")) as bench:
        await bench.seen("up")
        await bench.seen("up", "other")
        tools = await bench.servers.tools()
        assert {spec.server for name, spec in tools.items() if name.startswith("other__")} == {"other"}
        assert tools["change_thing"].server == "own"
        assert (await bench.change(tool="other__change_thing")).outcome == "succeeded"
    assert (own.effects(), len(foreign.effects())) == ([], 1)


async def test_a_preview_says_what_the_change_would_do(bench: Bench, own: Counting) -> None:
    own.order(set={"a": "0"})
    preview = await bench.servers.preview(await bench.spec("change_thing"), '{"name":"a","value":"1"}')
    assert isinstance(preview, Preview)
    assert (preview.summary, preview.risk) == ("Change a from 0 to 1", "low")
    assert preview.objects == ("local/v1/Thing//a",)
    assert preview.preconditions is not None
    assert preview.shown["diff"] == "-0\n+1\n"
    assert "preconditions" not in preview.shown


async def test_no_preview_is_said_to_be_none(bench: Bench) -> None:
    preview = await bench.servers.preview(await bench.spec("wipe_thing"), '{"name":"a"}')
    assert isinstance(preview, Preview)
    assert preview.risk == "destructive"
    assert "no preview" in str(preview.shown["no_preview"])


async def test_evidence_compares_and_settling_is_final(bench: Bench, own: Counting) -> None:
    args = '{"name":"a","value":"1"}'
    preview = await bench.servers.preview(await bench.spec("change_thing"), args)
    assert isinstance(preview, Preview)
    seen = await bench.servers.evidence("own", "change_thing", args, preview.preconditions)
    assert seen.verdict == "looks_not_applied"
    assert (await bench.servers.settle("own", "a-1")).state == "never_ran"
    assert (await bench.change("a-1")).code == "grant_revoked"
    assert (await bench.change("a-2")).outcome == "succeeded"
    settled = await bench.servers.settle("own", "a-2")
    assert settled.state == "succeeded"
    assert settled.reply is not None
    assert settled.reply.structured == {"summary": "changed", "objects": []}
    assert (await bench.servers.evidence("own", "change_thing", args, preview.preconditions)).verdict == "looks_applied"
    assert own.requests() == 2


async def test_a_stranger_can_neither_settle_nor_be_asked_for_evidence(foreign: Counting) -> None:
    async with open_bench(configured(foreign)) as bench:
        await bench.seen("up")
        assert (await bench.servers.settle("own", "a-1")).state == "cannot_tell"
        assert (await bench.servers.evidence("own", "change_thing", "{}", None)).verdict == "cannot_tell"
    assert foreign.requests("grant_settle") == 0


async def test_servers_that_are_down_neither_stop_the_start_nor_stay_down(lone: Counting) -> None:
    lone.start()
    lone.kill()
    async with open_bench(configured(lone)) as bench:
        assert await bench.servers.tools() == {}
        await bench.seen("down")
        health = bench.servers.health()[0]
        assert (health.tools, health.latency_ms) == (0, None)
        assert health.error
        assert (await bench.read({}, deadline=1)).code == "never_sent"
        lone.start()
        await bench.seen("up")
        assert (await bench.read({})).outcome == "succeeded"
        lone.kill()
        await bench.seen("down")
        assert "read_thing" in await bench.servers.tools()


async def test_leaving_does_not_wait_for_a_server_that_never_answers() -> None:
    async with asyncio.timeout(5), open_bench(NOWHERE) as bench:
        await bench.seen("down")
