"""Durations of simulated actions."""

from dataclasses import dataclass

__all__ = ["REALISTIC", "Timings"]


@dataclass(frozen=True)
class Timings:
    """Durations in seconds. The defaults suit a cluster that a user watches: realistic, but with short back-offs."""

    pace: float = 1.0
    """Factor for every duration: 0.1 is ten times as fast."""

    pull: float = 0.8
    ready: float = 0.7
    stop: float = 0.8
    exited: float = 0.6
    """How long an exited container stays visible before it restarts or backs off."""

    config_retry: float = 3.0
    back_off: float = 1.0
    back_off_limit: float = 10.0
    reminder: float = 12.0
    """Interval at which a kubelet repeats that it is backing off."""

    def scale(self, seconds: float) -> float:
        """Multiply a duration by the pace."""
        return seconds * self.pace

    def back_off_after(self, failures: int) -> float:
        """Return the back-off after a number of failures: it doubles up to a limit."""
        return float(min(self.back_off * 2 ** min(max(failures - 1, 0), 16), self.back_off_limit))


REALISTIC = Timings(back_off=10.0, back_off_limit=300.0)
"""Back-off of a real kubelet, for simulated history."""
