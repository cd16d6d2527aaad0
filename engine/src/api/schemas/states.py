"""Names of states, and groups of them."""

from typing import Final

__all__ = ["ACTIVE", "ENDED", "NOT_ENDED", "OPEN_APPROVAL", "RESTING", "SETTLED", "UNSETTLED"]

ACTIVE: Final = ("queued", "running", "awaiting_approval")
"""A conversation has at most one run in these states; the database enforces it."""

NOT_ENDED: Final = (*ACTIVE, "waiting")

ENDED: Final = ("completed", "failed", "stopped")
RESTING: Final = ("awaiting_approval", *ENDED)
"""No worker handles such a run, so its streams may end."""

OPEN_APPROVAL: Final = ("pending", "approved")

UNSETTLED: Final = ("pending", "awaiting_approval", "approved", "executing")
SETTLED: Final = ("completed", "error", "denied", "expired", "superseded", "stale", "stopped", "unknown")
"""States of calls. The model is called again when all calls of the turn are settled."""
