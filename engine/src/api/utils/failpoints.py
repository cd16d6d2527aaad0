"""Define named places at which a test can kill, freeze or fail the process.

A failpoint costs a dictionary look-up. From outside, only the environment variable `SKYFLO_FAILPOINTS` arms one
(`name=kill`, `name=kill@3` for the third passage, `name=freeze`, comma-separated), and only with `SKYFLO_TESTING=1`.
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
        """Pass the named place; if it is armed, send the signal to this process."""
        if name not in self._armed:
            return
        sent, passage = self._armed[name]
        self._passed[name] += 1
        if self._passed[name] == passage:
            os.kill(os.getpid(), sent)


def _parse(item: str) -> tuple[str, tuple[signal.Signals, int]]:
    name, _, action = item.partition("=")
    signal_name, _, passage = action.partition("@")
    return name, (_SIGNALS[signal_name], int(passage or 1))
