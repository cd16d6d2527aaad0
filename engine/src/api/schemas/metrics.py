"""Values of the database that all replicas share, as a scrape reports them."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["SharedState"]


@dataclass(frozen=True, slots=True)
class SharedState:
    """Work in the database. `runs` counts the runs that have not ended by state, with a zero for empty states.

    `oldest_approval_seconds` is the age of the approval that has waited longest, 0 without one. `unknown_changes`
    counts changes whose outcome nobody has settled yet.
    """

    runs: Mapping[str, int]
    approvals: int
    oldest_approval_seconds: float
    unknown_changes: int
