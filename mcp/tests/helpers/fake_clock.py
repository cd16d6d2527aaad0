"""A clock that tests set by hand."""

import time
from dataclasses import dataclass, field, replace

from skyflo_tools.dispatcher import ToolDispatcher


@dataclass
class FakeClock:
    """Stands still at `at` (seconds) until a test moves it. `sleep` returns at once and advances the time."""

    at: float = field(default_factory=time.time)

    def now(self) -> int:
        return round(self.at * 1000)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


def set_clock(dispatcher: ToolDispatcher, clock: FakeClock) -> None:
    """Replace the clock of a dispatcher and of its grant verifier."""
    dispatcher.services = replace(dispatcher.services, clock=clock)
    if dispatcher.verifier is not None:
        dispatcher.verifier._clock = clock
