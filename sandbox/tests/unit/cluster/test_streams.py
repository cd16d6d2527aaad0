"""Watches and followed logs: their bounds, and how they end."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from wirework import Wire, configured

from skyflo_sandbox.cluster.asking import ListOptions
from skyflo_sandbox.cluster.kinds import CONFIG_MAP, POD
from skyflo_sandbox.cluster.podlogs import PodLogs
from skyflo_sandbox.cluster.ports import LogLine
from skyflo_sandbox.cluster.reading import Shown
from skyflo_sandbox.cluster.statuses import Refused
from skyflo_sandbox.cluster.watching import WAITING_AT_MOST, WATCHES_AT_MOST, Watch, Watches
from skyflo_sandbox.jsontypes import JsonObject


def watch(wire: Wire, **options: object) -> Watch:
    wanted = ListOptions(**{"revision": wire.state.revision, **options})  # type: ignore[arg-type]
    return Watch(CONFIG_MAP, "shop", wanted, Shown("objects", "", wire.clock.now()))


def made(wire: Wire, name: str) -> None:
    wire.api.create(CONFIG_MAP, "shop", configured(name), manager="test")


async def told(lines: AsyncIterator[bytes]) -> JsonObject:
    found = json.loads(await anext(lines))
    assert isinstance(found, dict)
    return found


async def test_a_watch_tells_of_changes_until_it_is_ended() -> None:
    wire = Wire()
    watches = Watches(wire.state, wire.clock)
    lines = watches.open(watch(wire))
    made(wire, "a")
    assert (await told(lines))["type"] == "ADDED"
    waiting = asyncio.ensure_future(anext(lines, b"the end"))
    await asyncio.sleep(0)
    watches.end()
    assert await waiting == b"the end"
    assert [line async for line in watches.open(watch(wire))] == []


async def test_a_revision_that_is_forgotten_is_told_as_gone() -> None:
    wire = Wire()
    wire.state.restore([], 500)
    lines = Watches(wire.state, wire.clock).open(watch(wire, revision=100))
    event = await told(lines)
    assert event["type"] == "ERROR"
    status = event["object"]
    assert isinstance(status, dict)
    assert (status["kind"], status["code"], status["reason"]) == ("Status", 410, "Expired")


async def test_a_client_that_reads_too_slowly_is_left() -> None:
    wire = Wire()
    lines = Watches(wire.state, wire.clock).open(watch(wire))
    made(wire, "first")
    await told(lines)
    for number in range(WAITING_AT_MOST + 5):
        made(wire, f"a-{number}")
    assert len([line async for line in lines]) == WAITING_AT_MOST - 1


async def test_only_so_many_watches_are_open_at_once() -> None:
    wire = Wire()
    watches = Watches(wire.state, wire.clock)
    made(wire, "a")
    opened = [watches.open(watch(wire, revision=0)) for _ in range(WATCHES_AT_MOST)]
    for lines in opened:
        await told(lines)
    with pytest.raises(Refused) as refused:
        watches.open(watch(wire))
    assert (refused.value.code, refused.value.reason) == (429, "TooManyRequests")
    watches.end()
    for lines in opened:
        assert [line async for line in lines] == []
    assert wire.state._listeners == []


async def follow(wire: Wire) -> AsyncIterator[bytes]:
    live = wire.state.get(POD, "shop", "web")
    assert live is not None
    found = PodLogs(wire.state, wire.logs, wire.clock).read(live, {"follow": "true"})
    assert not isinstance(found, bytes)
    return found


async def test_a_followed_log_tells_each_line_once() -> None:
    wire = Wire()
    wire.run_pod()
    wire.logs.written["app"] = [LogLine(1.0, "one"), LogLine(2.0, "two")]
    lines = await follow(wire)
    assert await anext(lines) == b"one\ntwo\n"
    following = asyncio.ensure_future(anext(lines))
    await asyncio.sleep(0)
    wire.logs.written["app"] += [LogLine(2.0, "three"), LogLine(3.0, "four")]
    await wire.clock.advance(1)
    assert await following == b"three\nfour\n"


async def test_a_followed_log_ends_with_its_container() -> None:
    wire = Wire()
    wire.run_pod()
    wire.logs.written["app"] = [LogLine(1.0, "one")]
    lines = await follow(wire)
    assert await anext(lines) == b"one\n"
    wire.api.delete(POD, "shop", "web", grace_seconds=0)
    assert [line async for line in lines] == []


async def test_a_container_that_does_not_run_is_not_followed() -> None:
    wire = Wire()
    wire.run_pod(containerStatuses=[{"name": "app", "state": {"terminated": {"exitCode": 1}}}])
    wire.logs.written["app"] = [LogLine(1.0, "one")]
    assert [line async for line in await follow(wire)] == [b"one\n"]
