"""Follow a request for a build through the queue to its build number."""

import asyncio
from dataclasses import dataclass

from skyflo_common.clock import Clock
from skyflo_tools.jenkins import models
from skyflo_tools.jenkins.client import JenkinsClient, JenkinsRefused, JenkinsUnreachable
from skyflo_tools.jenkins.parameters import REQUEST_PARAMETER

STEP_SECONDS = 0.5
MAX_BUILDS = 100
"""How many of a job's newest builds are searched for the one of a queue item."""


@dataclass(frozen=True)
class QueueOutcome:
    """What is known of a queue item: its build's number, or why there is none yet."""

    number: int | None
    text: str


async def follow_item(client: JenkinsClient, job_path: str, item: int, seconds: float, clock: Clock) -> QueueOutcome:
    """Wait until an item has become a build or was cancelled.

    Jenkins forgets an item five minutes after it has left the queue, and some by a restart: the build is then found by
    the item's number. A controller that does not answer for a while is asked again until the time is over.
    """
    give_up_at = clock.monotonic() + seconds
    outcome = QueueOutcome(None, f"item {item} waits in the queue")
    while True:
        try:
            found = await client.read(models.QueueItem, f"queue/item/{item}/", models.ITEM_TREE)
            if found.executable is not None:
                return QueueOutcome(found.executable.number, f"build #{found.executable.number} has started")
            if found.cancelled:
                return QueueOutcome(None, f"item {item} was cancelled in the queue: there is no build")
            outcome = QueueOutcome(None, f"item {item} waits in the queue: {found.why or 'for an executor'}")
        except JenkinsRefused as error:
            if error.status == 404:
                return await find_build_of_item(client, job_path, item)
            outcome = QueueOutcome(None, f"item {item} was queued; then {error.message}")
        except JenkinsUnreachable as error:
            outcome = QueueOutcome(None, f"item {item} was queued; then {error.message}")
        if clock.monotonic() >= give_up_at:
            return outcome
        await asyncio.sleep(STEP_SECONDS)


async def find_build_of_item(client: JenkinsClient, job_path: str, item: int) -> QueueOutcome:
    """Find the build of an item that Jenkins has forgotten, among the newest builds of its job."""
    job = await client.read(models.Job, job_path, f"builds[number,queueId]{{0,{MAX_BUILDS}}}")
    for build in job.builds:
        if build.queue_id == item:
            return QueueOutcome(build.number, f"build #{build.number} has started")
    text = f"item {item} has left the queue, and none of the newest {MAX_BUILDS} builds is its own"
    return QueueOutcome(None, text)


async def find_request(client: JenkinsClient, job_path: str, request_id: str) -> QueueOutcome | None:
    """Find a build or a waiting item by the request's own parameter. None proves nothing: it may still arrive."""
    values = "actions[parameters[name,value]]"
    job = await client.read(models.Job, job_path, f"builds[number,{values}]{{0,{MAX_BUILDS}}},queueItem[id,{values}]")
    for build in job.builds:
        if _carries(build.actions, request_id):
            return QueueOutcome(build.number, f"build #{build.number} has started")
    if job.queue_item is not None and _carries(job.queue_item.actions, request_id):
        return QueueOutcome(None, f"item {job.queue_item.id} waits in the queue")
    return None


def _carries(actions: list[models.Action], request_id: str) -> bool:
    return any(each.name == REQUEST_PARAMETER and each.value == request_id for a in actions for each in a.parameters)
