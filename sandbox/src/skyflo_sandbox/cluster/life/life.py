"""Life: one task that has every controller look at what has changed and at what has become due."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from random import Random
from types import TracebackType
from typing import Self

from skyflo_sandbox.clock import Clock
from skyflo_sandbox.cluster.kinds import ALL
from skyflo_sandbox.cluster.life.agenda import Agenda, Task
from skyflo_sandbox.cluster.life.context import Context, Controller
from skyflo_sandbox.cluster.life.deployments import Deployments
from skyflo_sandbox.cluster.life.events import Recorder
from skyflo_sandbox.cluster.life.garbage import Collector, EventKeeper, Namespaces
from skyflo_sandbox.cluster.life.images import Catalogue
from skyflo_sandbox.cluster.life.kubelet import Kubelet
from skyflo_sandbox.cluster.life.logbook import LogBook
from skyflo_sandbox.cluster.life.replicasets import ReplicaSets
from skyflo_sandbox.cluster.life.scheduler import Scheduler
from skyflo_sandbox.cluster.life.slices import Slices
from skyflo_sandbox.cluster.life.tempo import Tempo
from skyflo_sandbox.cluster.ports import Api
from skyflo_sandbox.cluster.state import AlreadyExists, Change, Changed, NotFound
from skyflo_sandbox.cluster.statuses import Refused

__all__ = ["Life"]

log = logging.getLogger(__name__)

TASKS_AT_ONCE = 10
RETRY_SECONDS = 2.0


class Life:
    """All controllers of one cluster. `async with` starts it on what is there, be it new or restored, and ends it.

    Everything that is random comes from `names`: with a given one and a clock that a test moves, all that happens is
    the same every time.
    """

    def __init__(
        self, api: Api, clock: Clock, book: LogBook, catalogue: Catalogue, tempo: Tempo, names: Random
    ) -> None:
        self._clock = clock
        self._agenda = Agenda(clock)
        self._state = api.state
        context = Context(api, clock, self._agenda, Recorder(api.state, clock), tempo, names)
        controllers: tuple[Controller, ...] = (
            Deployments(context),
            ReplicaSets(context),
            Scheduler(context),
            Kubelet(context, catalogue, book),
            Slices(context),
            Collector(context),
            Namespaces(context),
            EventKeeper(context),
        )
        self._controllers = {each.name: each for each in controllers}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe = api.state.subscribe(self._hear)
        self._look_at_everything()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self.run())
        self._task.add_done_callback(_tell_of_failure)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def when_failed(self, tell: Callable[[], None]) -> None:
        """Calls `tell` once when it has met what it can't go on from. To be called after entering."""
        if self._task is not None:
            self._task.add_done_callback(lambda task: tell() if _failure(task) else None)

    async def close(self) -> None:
        """Ends it. Raises what its task has failed with, if it has."""
        self.leave()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def leave(self) -> None:
        """Hears of nothing any more."""
        self._unsubscribe()

    async def run(self) -> None:
        """For ever: does what is due, then waits for a change or for the next time."""
        while True:
            self._changed.clear()
            if self.turn():
                await asyncio.sleep(0)
            else:
                await self._wait(self._agenda.wait())

    def turn(self) -> bool:
        """Does what is due now, but only so much that others get their turn. Whether something may be left."""
        for _ in range(TASKS_AT_ONCE):
            task = self._agenda.pop()
            if task is None:
                return False
            self._sync(task)
        return True

    def _sync(self, task: Task) -> None:
        """One that is refused, or whose object has changed meanwhile, is tried again: as real controllers do."""
        try:
            self._controllers[task.controller].sync(task.namespace, task.name)
        except (AlreadyExists, Changed, NotFound, Refused) as error:
            log.info("action=sync_again controller=%s %s: %r", task.controller, task.name, error)
            self._agenda.later(task, RETRY_SECONDS)

    def next_in(self) -> float | None:
        """Seconds until something is due, if anything ever is."""
        return self._agenda.wait()

    async def _wait(self, seconds: float | None) -> None:
        if seconds is None:
            await self._changed.wait()
            return
        alarm = asyncio.create_task(self._clock.sleep(seconds))
        alarm.add_done_callback(self._ring)
        try:
            await self._changed.wait()
        finally:
            alarm.cancel()

    def _ring(self, alarm: asyncio.Task[None]) -> None:
        """Only for one that went off: each one that is given up would wake the loop once more, for ever."""
        if not alarm.cancelled():
            self._changed.set()

    def _hear(self, change: Change) -> None:
        for controller in self._controllers.values():
            for namespace, name in controller.hears(change):
                self._agenda.soon(Task(controller.name, namespace, name))
        self._changed.set()

    def _look_at_everything(self) -> None:
        """As if all had just been added: what a controller does when it starts."""
        for kind in ALL:
            for body in self._state.objects(kind) if kind.stored else []:
                self._hear(Change("ADDED", kind, body, None, self._state.revision))


def _tell_of_failure(task: asyncio.Task[None]) -> None:
    """At once: whoever waits for it looks at the end only."""
    if failure := _failure(task):
        log.error("action=life_ended nothing moves in the cluster any more", exc_info=failure)


def _failure(task: asyncio.Task[None]) -> BaseException | None:
    return None if task.cancelled() else task.exception()
