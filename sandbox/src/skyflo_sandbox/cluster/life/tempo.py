"""How long things take."""

from dataclasses import dataclass

__all__ = ["REAL", "Tempo"]


@dataclass(frozen=True)
class Tempo:
    """In seconds. The defaults are those of a cluster that one watches: like a real one, but for shorter back-offs."""

    pace: float = 1.0
    """Every duration is multiplied by it: 0.1 is ten times as fast."""

    pull: float = 0.8
    ready: float = 0.7
    stop: float = 0.8
    exited: float = 0.6
    """How long a container that ended is seen as ended before it is started again or backed off."""

    config_retry: float = 3.0
    back_off: float = 1.0
    back_off_limit: float = 10.0
    reminder: float = 12.0
    """How often a kubelet repeats that it is backing off."""

    def of(self, seconds: float) -> float:
        """A duration at this pace."""
        return seconds * self.pace

    def waits(self, failures: int) -> float:
        """The back-off after so many failures: it doubles up to a limit."""
        return float(min(self.back_off * 2 ** min(max(failures - 1, 0), 16), self.back_off_limit))


REAL = Tempo(back_off=10.0, back_off_limit=300.0)
"""The back-off of a real kubelet: for a past that nobody has to wait for."""
