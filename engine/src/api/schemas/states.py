"""The words for states, and which of them mean that something is over."""

from typing import Final

__all__ = ["ACTIVE", "ENDED", "NOT_ENDED", "OPEN_APPROVAL", "RESTING", "SETTLED", "UNSETTLED"]

ACTIVE: Final = ("queued", "running", "awaiting_approval")
"""A run in one of these is the run of its conversation; the database allows one."""

NOT_ENDED: Final = (*ACTIVE, "waiting")

ENDED: Final = ("completed", "failed", "stopped")
RESTING: Final = ("awaiting_approval", *ENDED)
"""Nobody works on such a run, so a stream of it may end."""

OPEN_APPROVAL: Final = ("pending", "approved")

UNSETTLED: Final = ("pending", "awaiting_approval", "approved", "executing")
SETTLED: Final = ("completed", "error", "denied", "expired", "superseded", "stale", "stopped", "unknown")
"""States of a call: the model is called again when every call of the turn is settled."""
