"""Keep the modules of a server out of the garbage collector's way."""

import gc

__all__ = ["keep_imports"]

COLLECT_AFTER = (10_000, 10, 10)
"""New objects after which garbage is collected. A run leaves a few dozen in cycles, which hold about 20 KB."""


def keep_imports() -> None:
    """Collect the garbage that imports left, and keep what remains out of all later collections.

    An idle server would never free those megabytes. What remains is used until the end; a full collection that looked
    through it again would hold up the event loop, the engine's for a quarter of a second. Only the first call in a
    process has an effect.
    """
    if gc.get_threshold() != COLLECT_AFTER:  # what is kept can't tell: counting that takes as long as a collection
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECT_AFTER)  # the start may have asked for fewer collections
