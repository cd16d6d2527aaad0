"""Named places at which a test can make the process die, freeze or fail.

A failpoint costs a dictionary look-up. Nothing can be armed from outside the process but by the environment variable
`SKYFLO_FAILPOINTS` (`name=kill`, `name=kill@3` for the third passage, `name=freeze`, comma-separated), and only with
`SKYFLO_TESTING=1` beside it.
"""

import os
import signal
from collections import Counter
from collections.abc import Mapping

__all__ = ["Failpoints"]

_SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


class Failpoints:
    """The armed failpoints of one process; none by default."""

    def __init__(self, armed: Mapping[str, tuple[signal.Signals, int]] | None = None) -> None:
        self._armed = dict(armed or {})
        self._passed: Counter[str] = Counter()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Failpoints":
        text = environment.get("SKYFLO_FAILPOINTS", "")
        if not text or environment.get("SKYFLO_TESTING") != "1":
            return cls()
        return cls(dict(_parse(item) for item in text.split(",")))

    def pass_(self, name: str) -> None:
        """Called where the name says. An armed one sends its signal to this process."""
        if name not in self._armed:
            return
        sent, at = self._armed[name]
        self._passed[name] += 1
        if self._passed[name] == at:
            os.kill(os.getpid(), sent)


def _parse(item: str) -> tuple[str, tuple[signal.Signals, int]]:
    name, _, action = item.partition("=")
    what, _, at = action.partition("@")
    return name, (_SIGNALS[what], int(at or 1))
