"""Claim queued runs, keep their leases, execute them, and offer those that a shutdown leaves to other processes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from skyflo_common.logs import log_context
from skyflo_common.tracing import conventions
from src.api.errors import EngineError, RunFenced, StoreUnavailable
from src.api.ports import NoTracing, QueuedRun, Store, Tracing
from src.api.schemas.query import Where
from src.api.schemas.records import Run
from src.api.services.background import BackgroundTasks, run_in_background
from src.api.services.lease import Lease
from src.api.services.runs.completion import RunCompletion, RunResult
from src.api.services.runs.leases import Leases
from src.api.services.runs.slots import RunSlots
from src.api.services.runs.stop import watch_for_stop
from src.api.services.streaming.watcher import RunWatcher

__all__ = ["ExecuteRun", "Recover", "Worker"]

logger = logging.getLogger(__name__)

_CRASHED = "The engine failed while it worked on this. The work done so far is shown above; ask again to go on."
_RESTARTED_TOO_OFTEN = "The engine died too often while working on this run, so it was given up."

ExecuteRun = Callable[[Lease, Run], Awaitable[None]]
"""Runs the graph for a claimed run until the run rests or ends, or its lease is lost."""

Recover = Callable[[Lease], Awaitable[None]]
"""Settles the changes that a dead owner of the run had started."""


@dataclass(slots=True)
class Worker:
    """Execute this process's runs in the background, as many at a time as there are `slots`.

    `offer` tells other processes of a run that this one leaves to them.
    """

    store: Store
    leases: Leases
    completion: RunCompletion
    watcher: RunWatcher
    tasks: BackgroundTasks
    recover: Recover
    execute: ExecuteRun
    offer: Callable[[QueuedRun], None]
    slots: RunSlots = field(default_factory=RunSlots)
    tracing: Tracing = field(default_factory=NoTracing)
    _waiting: set[str] = field(init=False, default_factory=set)
    _closed: bool = field(init=False, default=False)

    def close(self) -> None:
        """Claim nothing from now on: this process stops, and what it is still asked to execute goes to others."""
        self._closed = True

    def wake(self, run_id: str) -> None:
        """Try to claim the run and execute it, in the background.

        Safe to call for any run any number of times: only a successful claim has an effect. Without a free slot the run
        waits here, and is offered to others.
        """
        run = QueuedRun(run_id, self.tracing.trace_parent())
        if not self.slots.free:
            self.offer(run)
        self._start(run)

    def take_offer(self, run: QueuedRun) -> None:
        """Try to claim a run that another process offers. A process without a free slot leaves it to others."""
        if self.slots.free:
            self._start(run)

    def _start(self, run: QueuedRun) -> None:
        if self._closed:
            self.offer(run)
        elif run.run_id not in self._waiting:
            self._waiting.add(run.run_id)
            _ = self.tasks.spawn(self._run_when_free(run), name=f"run {run.run_id}")

    async def _run_when_free(self, run: QueuedRun) -> None:
        try:
            async with self.slots.take():
                self._waiting.discard(run.run_id)
                with log_context(run_id=run.run_id):
                    await self._claim_and_execute(run.run_id, run.trace_parent)
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "run.left", "run_id": run.run_id, "code": error.code})
        except asyncio.CancelledError:
            # This process stops. Without the offer, others would find the run only in their next sweep.
            self.offer(run)
            raise

    async def _claim_and_execute(self, run_id: str, parent: str) -> None:
        lease = await self.leases.claim(run_id)
        if lease is None:
            return
        attributes = conventions.invoke_agent(run_id, lease.conversation_id, lease.fence)
        with self.tracing.span(f"invoke_agent {conventions.AGENT}", attributes, parent=parent):
            await self._execute_claimed(lease)

    async def _execute_claimed(self, lease: Lease) -> None:
        async with (
            run_in_background(self.leases.renew_until_lost(lease)),
            run_in_background(watch_for_stop(self.store, self.watcher, lease)),
        ):
            try:
                await self._execute(lease, lease.run)
            except asyncio.CancelledError:
                if lease.change_in_flight is not None:
                    _ = self.tasks.spawn_protected(self._release_later(lease), name=f"release {lease.run_id}")
                else:
                    await self._release(lease)
                raise

    async def _release_later(self, lease: Lease) -> None:
        """Release the run once its change has ended, within the time that a shutdown gives to changes in flight."""
        await self._release(lease)
        self.offer(QueuedRun(lease.run_id))

    async def _release(self, lease: Lease) -> None:
        """Release the run, and offer the conversation's next one.

        A run that ends while its process stops queues the next one, of which no worker has been told.
        """
        await self.leases.release(lease)
        queued: Where = {"conversation_id": lease.conversation_id, "state": "queued"}
        try:
            runs = await self.store.read(lambda reader: reader.find(Run, queued, limit=1))
        except StoreUnavailable as error:
            logger.warning(error.detail, extra={"action": "run.offer_failed", "run_id": lease.run_id})
            return
        for run in runs:
            self.offer(QueuedRun(run.id))

    async def _execute(self, lease: Lease, run: Run) -> None:
        try:
            if lease.fence > 1:  # the first owner has no predecessor to recover from
                await self.recover(lease)
            if run.restarts > self.leases.settings.max_restarts:
                await self._fail(lease, _RESTARTED_TOO_OFTEN, "restart_budget")
            else:
                await self.execute(lease, run)
        except (RunFenced, StoreUnavailable) as error:
            # Either another worker owns the run, or nothing can be written: the sweep resumes it after the lease.
            logger.warning(error.detail, extra={"action": "run.left", "run_id": run.id, "code": error.code})
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "run.failed", "run_id": run.id, "code": error.code})
            await self._fail(lease, error.detail, error.code)
        except Exception:
            # The worker's boundary: after any error the run must end, and its user must see that it failed.
            logger.exception("run failed", extra={"action": "run.failed", "run_id": run.id})
            await self._fail(lease, _CRASHED, "internal")

    async def _fail(self, lease: Lease, error: str, code: str) -> None:
        next_run_id = await self.completion.finish_as_owner(lease, RunResult("failed", error=error, code=code))
        if next_run_id is not None:
            self.wake(next_run_id)
