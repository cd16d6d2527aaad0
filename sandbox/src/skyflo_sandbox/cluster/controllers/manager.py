"""The controller manager: one task that reconciles changed objects and due work."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.controllers.container_logs import ContainerLogs
from skyflo_sandbox.cluster.controllers.context import Context, Controller
from skyflo_sandbox.cluster.controllers.deployments import DeploymentController
from skyflo_sandbox.cluster.controllers.endpoint_slices import EndpointSliceController
from skyflo_sandbox.cluster.controllers.events import EventRecorder
from skyflo_sandbox.cluster.controllers.garbage_collector import EventExpiry, GarbageCollector, NamespaceController
from skyflo_sandbox.cluster.controllers.images import ImageCatalog
from skyflo_sandbox.cluster.controllers.kubelet import Kubelet
from skyflo_sandbox.cluster.controllers.replica_sets import ReplicaSetController
from skyflo_sandbox.cluster.controllers.scheduler import Scheduler
from skyflo_sandbox.cluster.controllers.timings import Timings
from skyflo_sandbox.cluster.controllers.work_queue import WorkItem, WorkQueue
from skyflo_sandbox.cluster.errors import ApiError
from skyflo_sandbox.cluster.kinds import ALL
from skyflo_sandbox.cluster.ports import Api
from skyflo_sandbox.cluster.state import AlreadyExists, Change, NotFound, VersionConflict

__all__ = ["ControllerManager"]

log = logging.getLogger(__name__)

MAX_ITEMS_PER_TURN = 10
RETRY_SECONDS = 2.0


class ControllerManager:
    """Runs all controllers of one cluster. `async with` starts and stops it.

    On start every existing object is reconciled. All randomness comes from `names`: with a fixed seed and a controlled
    clock, every run is identical.
    """

    def __init__(
        self, api: Api, clock: Clock, logs: ContainerLogs, images: ImageCatalog, timings: Timings, names: Random
    ) -> None:
        self._clock = clock
        self._work_queue = WorkQueue(clock)
        self._state = api.state
        context = Context(api, clock, self._work_queue, EventRecorder(api.state, clock), timings, names)
        controllers: tuple[Controller, ...] = (
            DeploymentController(context),
            ReplicaSetController(context),
            Scheduler(context),
            Kubelet(context, images, logs),
            EndpointSliceController(context),
            GarbageCollector(context),
            NamespaceController(context),
            EventExpiry(context),
        )
        self._controllers = {each.name: each for each in controllers}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = api.state.subscribe(self._on_change)
        self._enqueue_all()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run())
        self._task.add_done_callback(_log_failure)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def on_failure(self, callback: Callable[[], None]) -> None:
        """Call `callback` once if the task fails. Call this after entering the context."""
        if self._task is not None:
            self._task.add_done_callback(lambda finished: callback() if _failure(finished) else None)

    async def close(self) -> None:
        """Stop the task. Raises the error with which it failed, if any."""
        self.unsubscribe()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def unsubscribe(self) -> None:
        """Stop listening to changes."""
        self._unsubscribe()

    async def run(self) -> None:
        """Process due items, then wait for a change or the next due time, forever."""
        while True:
            self._changed.clear()
            if self.run_due_items():
                await asyncio.sleep(0)
            else:
                await self._wait(self._work_queue.seconds_until_due())

    def run_due_items(self) -> bool:
        """Process a bounded number of due items, so that requests are served in between.

        Returns whether more may be due.
        """
        for _ in range(MAX_ITEMS_PER_TURN):
            item = self._work_queue.pop()
            if item is None:
                return False
            self._sync(item)
        return True

    def _sync(self, item: WorkItem) -> None:
        """Reconcile one item. A rejected or conflicting write is retried, as in real controllers."""
        try:
            self._controllers[item.controller].sync(item.namespace, item.name)
        except (AlreadyExists, VersionConflict, NotFound, ApiError) as error:
            log.info("action=sync_retried controller=%s %s: %r", item.controller, item.name, error)
            self._work_queue.add_after(item, RETRY_SECONDS)

    def seconds_until_due(self) -> float | None:
        """Return the seconds until the next item is due; None if there is none."""
        return self._work_queue.seconds_until_due()

    async def _wait(self, seconds: float | None) -> None:
        if seconds is None:
            await self._changed.wait()
            return
        timer = asyncio.create_task(self._clock.sleep(seconds))
        timer.add_done_callback(self._wake)
        try:
            await self._changed.wait()
        finally:
            timer.cancel()

    def _wake(self, timer: asyncio.Task[None]) -> None:
        """Wake the loop. Cancelled timers are ignored, because each one would cause another wake-up."""
        if not timer.cancelled():
            self._changed.set()

    def _on_change(self, change: Change) -> None:
        for controller in self._controllers.values():
            for namespace, name in controller.affected_keys(change):
                self._work_queue.add(WorkItem(controller.name, namespace, name))
        self._changed.set()

    def _enqueue_all(self) -> None:
        """Enqueue all existing objects, as controllers do on start."""
        for kind in ALL:
            for body in self._state.objects(kind) if kind.stored else []:
                self._on_change(Change("ADDED", kind, body, None, self._state.revision))


def _log_failure(finished: asyncio.Task[None]) -> None:
    """Log the failure immediately: code that awaits the task sees it only at shutdown."""
    if failure := _failure(finished):
        log.error(
            "action=controllers_failed The controllers have stopped; the cluster no longer changes.", exc_info=failure
        )


def _failure(finished: asyncio.Task[None]) -> BaseException | None:
    return None if finished.cancelled() else finished.exception()
