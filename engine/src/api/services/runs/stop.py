"""Watch a claimed run for a stop request or a new owner."""

import logging

from src.api.errors import StoreUnavailable
from src.api.ports import RunChanged, Signal, Store
from src.api.schemas.records import Run
from src.api.services.lease import Lease
from src.api.services.streaming.watcher import RunWatcher

__all__ = ["watch_for_stop"]

logger = logging.getLogger(__name__)

POLL_INTERVAL = 5.0
"""Seconds between two reads of the run when no signal arrives."""


async def watch_for_stop(store: Store, watcher: RunWatcher, lease: Lease) -> None:
    """Poll the run row, and halt the lease on a stop request or a new owner.

    The watcher's next read of all watched runs covers what happened before this started to listen. Notifications of
    the bus only come earlier, and one that says that this lease still holds saves a read. Returns once the lease is
    halted.
    """
    async with watcher.watch(lease.run_id) as subscription:
        subscription.request_signal()
        while not lease.halted.is_set():
            signals = await subscription.wait(POLL_INTERVAL)
            if not signals or not all(_confirms(signal, lease) for signal in signals):
                try:
                    await _check_run(store, lease)
                except StoreUnavailable as error:
                    logger.warning(error.detail, extra={"action": "run.stop_check_failed", "run_id": lease.run_id})


def _confirms(signal: Signal, lease: Lease) -> bool:
    """Return whether the signal says that the run has this lease's fence and no stop request."""
    return isinstance(signal, RunChanged) and signal.unstopped_fence == lease.fence


async def _check_run(store: Store, lease: Lease) -> None:
    run = await store.read(lambda reader: reader.get(Run, id=lease.run_id))
    if run is None or run.fence != lease.fence:
        lease.lose()
    elif run.stop_at is not None:
        lease.stop()
