"""Keep what lives on out of the garbage collections of a test process."""

import gc

__all__ = ["keep_from_garbage_collection"]


def keep_from_garbage_collection() -> None:
    """Collect now, and never look at what remains again."""
    gc.collect()
    gc.freeze()
