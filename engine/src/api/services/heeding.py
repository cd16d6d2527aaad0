"""Stop and take-over are rows; the bell only says when to look."""

import logging

from src.api.errors import StoreUnavailable
from src.api.ports import Store
from src.api.schemas.records import Run
from src.api.services.leases import Lease
from src.api.services.pulse import Pulse

__all__ = ["heed"]

logger = logging.getLogger(__name__)

LOOK = 5.0
"""Seconds between two looks when nothing rings."""


async def heed(store: Store, pulse: Pulse, lease: Lease) -> None:
    """Halts the lease once its run is to be stopped or is another's. Until then, or until cancelled, it watches."""
    async with pulse.watch(lease.run_id) as watch:
        while not lease.halted.is_set():
            try:
                await _look(store, lease)
            except StoreUnavailable as error:
                logger.warning(error.detail, extra={"action": "run.look_failed", "run_id": lease.run_id})
            await watch.wait(LOOK)


async def _look(store: Store, lease: Lease) -> None:
    run = await store.read(lambda reader: reader.get(Run, id=lease.run_id))
    if run is None or run.fence != lease.fence:
        lease.lose()
    elif run.stop_at is not None:
        lease.stop()
