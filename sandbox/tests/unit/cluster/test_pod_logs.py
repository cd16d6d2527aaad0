"""Followed logs."""

import asyncio
from collections.abc import AsyncIterator

from api_harness import ApiHarness

from skyflo_sandbox.cluster.kinds import POD
from skyflo_sandbox.cluster.pod_logs import PodLogs
from skyflo_sandbox.cluster.ports import LogLine


async def follow_log(harness: ApiHarness) -> AsyncIterator[bytes]:
    live = harness.state.get(POD, "shop", "web")
    assert live is not None
    found = PodLogs(harness.state, harness.logs, harness.clock).read(live, {"follow": "true"})
    assert not isinstance(found, bytes)
    return found


async def test_followed_log_yields_each_line_once() -> None:
    harness = ApiHarness()
    harness.run_pod()
    harness.logs.written["app"] = [LogLine(1.0, "one"), LogLine(2.0, "two")]
    lines = await follow_log(harness)
    assert await anext(lines) == b"one\ntwo\n"
    following = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    harness.logs.written["app"] += [LogLine(2.0, "three"), LogLine(3.0, "four")]
    await harness.clock.advance(1)
    assert await following == b"three\nfour\n"


async def test_followed_log_ends_with_container() -> None:
    harness = ApiHarness()
    harness.run_pod()
    harness.logs.written["app"] = [LogLine(1.0, "one")]
    lines = await follow_log(harness)
    assert await anext(lines) == b"one\n"
    harness.api.delete(POD, "shop", "web", grace_seconds=0)
    assert [line async for line in lines] == []


async def test_stopped_container_is_not_followed() -> None:
    harness = ApiHarness()
    harness.run_pod(containerStatuses=[{"name": "app", "state": {"terminated": {"exitCode": 1}}}])
    harness.logs.written["app"] = [LogLine(1.0, "one")]
    assert [line async for line in await follow_log(harness)] == [b"one\n"]
