"""What the services need to know of the settings, in their own words."""

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in seconds, turns in model calls."""

    approve_within: float = 1800
    execute_within: float = 300
    grant_expires_in: float = 15
    send_within: float = 10
    read_within: float = 60
    settle_within: float = 10
    max_turns: int = 25
    max_auto_continue: int = 2

    @property
    def approve_ms(self) -> int:
        return int(self.approve_within * 1000)

    @property
    def execute_ms(self) -> int:
        return int(self.execute_within * 1000)
