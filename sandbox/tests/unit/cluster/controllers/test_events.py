"""Recorded events: expiry and limits."""

from controller_harness import deployment, running_controllers

from skyflo_sandbox.cluster.controllers.events import EventRecorder
from skyflo_sandbox.cluster.kinds import (
    DEPLOYMENT,
    EVENT,
    POD,
)


async def test_events_expire_after_one_hour() -> None:
    async with running_controllers() as harness:
        harness.create(DEPLOYMENT, deployment())
        await harness.clock.advance(3_599)
        assert harness.recorded_events("Scheduled")
        await harness.clock.advance(10)
        assert harness.recorded_events() == []


async def test_event_without_time_expires_by_creation_time() -> None:
    async with running_controllers() as harness:
        harness.create(
            EVENT, {"metadata": {"name": "odd"}, "lastTimestamp": "yesterday", "involvedObject": {"namespace": "test"}}
        )
        await harness.clock.advance(3_000)
        assert harness.get(EVENT, "odd")
        await harness.clock.advance(700)
        assert harness.state.get(EVENT, "test", "odd") is None


async def test_oldest_events_are_evicted() -> None:
    async with running_controllers() as harness:
        recorder = EventRecorder(harness.state, harness.clock)
        pod = harness.create(
            POD, {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "app", "image": "a:1"}]}}
        )
        for number in range(1_050):
            recorder.record(POD, pod, "Said", f"number {number}", source="test")
            await harness.clock.advance(1) if number % 100 == 0 else None
        said = {text for _, text, _ in harness.recorded_events("Said")}
        assert 850 < len(said) <= 1_000
        assert "number 1049" in said
        assert "number 0" not in said
