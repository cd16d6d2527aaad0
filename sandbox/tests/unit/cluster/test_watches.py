"""Watches: limits, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from api_harness import ApiHarness, config_map

from skyflo_common.jsontypes import JsonObject
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.kinds import CONFIG_MAP
from skyflo_sandbox.cluster.request_options import ListOptions
from skyflo_sandbox.cluster.responses import ResponseFormatter
from skyflo_sandbox.cluster.watches import MAX_QUEUED_CHANGES, MAX_WATCHES, WatchManager, WatchRequest


def watch_request(harness: ApiHarness, **options: object) -> WatchRequest:
    wanted = ListOptions(**{"revision": harness.state.revision, **options})  # type: ignore[arg-type]
    return WatchRequest(CONFIG_MAP, "shop", wanted, ResponseFormatter("objects", "", harness.clock.now()))


def create_config_map(harness: ApiHarness, name: str) -> None:
    harness.api.create(CONFIG_MAP, "shop", config_map(name), manager="test")


async def next_event(lines: AsyncIterator[bytes]) -> JsonObject:
    found = json.loads(await anext(lines))
    assert isinstance(found, dict)
    return found


async def test_watch_streams_changes_until_closed() -> None:
    harness = ApiHarness()
    watches = WatchManager(harness.state, harness.clock)
    lines = watches.open(watch_request(harness))
    create_config_map(harness, "a")
    assert (await next_event(lines))["type"] == "ADDED"
    waiting = asyncio.ensure_future(anext(lines, b"the end"))
    await asyncio.sleep(0)
    watches.close()
    assert await waiting == b"the end"
    assert [line async for line in watches.open(watch_request(harness))] == []


async def test_discarded_revision_is_expired() -> None:
    harness = ApiHarness()
    harness.state.restore([], 500)
    lines = WatchManager(harness.state, harness.clock).open(watch_request(harness, revision=100))
    event = await next_event(lines)
    assert event["type"] == "ERROR"
    status = event["object"]
    assert isinstance(status, dict)
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")


async def test_slow_client_is_disconnected() -> None:
    harness = ApiHarness()
    lines = WatchManager(harness.state, harness.clock).open(watch_request(harness))
    create_config_map(harness, "first")
    await next_event(lines)
    for number in range(MAX_QUEUED_CHANGES + 5):
        create_config_map(harness, f"a-{number}")
    assert len([line async for line in lines]) == MAX_QUEUED_CHANGES - 1


async def test_open_watches_are_limited() -> None:
    harness = ApiHarness()
    watches = WatchManager(harness.state, harness.clock)
    create_config_map(harness, "a")
    opened = [watches.open(watch_request(harness, revision=0)) for _ in range(MAX_WATCHES)]
    for lines in opened:
        await next_event(lines)
    with pytest.raises(ApiError) as refused:
        watches.open(watch_request(harness))
    assert (refused.value.code, refused.value.reason) == (429, "TooManyRequests")
    watches.close()
    for lines in opened:
        assert [line async for line in lines] == []
    assert harness.state._listeners == []
