"""Limits on the processor's time that hold on machines of any speed."""

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["at_most", "machine_slowness", "without_garbage_collection"]

USUAL_SECONDS = 0.25
"""What `_plain_loop` takes on a usual machine that does nothing else."""


def _plain_loop() -> float:
    began = time.process_time()
    sum(n * n % 7 for n in range(2_500_000))
    return time.process_time() - began


def machine_slowness() -> float:
    """How many times slower than a usual machine this one is now; at least 1."""
    return max(1.0, *(_plain_loop() / USUAL_SECONDS for _ in range(3)))


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Keep the collector from running in the block: it looks at the whole process, which the suite has filled."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail when the block takes more than `seconds` of a usual machine's processor."""
    with without_garbage_collection():
        began = time.process_time()
        yield
        took = time.process_time() - began
    if took >= seconds:
        slowness = machine_slowness()
        assert took < seconds * slowness, f"took {took:.2f} s on a machine {slowness:.1f} times slower than usual"
