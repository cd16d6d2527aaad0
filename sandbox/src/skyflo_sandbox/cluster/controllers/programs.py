"""Simulate a program: its output and exit depend on its image and environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from skyflo_sandbox.cluster.controllers.container_logs import ContainerRun
from skyflo_sandbox.cluster.controllers.images import PeriodicOutput, Program, split_image

__all__ = ["RunOutcome", "simulate_run"]

CRASH_SECONDS = 0.8
LINE_SECONDS = 0.001


@dataclass(frozen=True)
class RunOutcome:
    """Result of a run. `code` is None if it keeps running, otherwise it exits after `seconds`."""

    lines: tuple[str, ...]
    code: int | None
    seconds: float
    tick: PeriodicOutput

    def to_run(self, id_: str, started: float) -> ContainerRun:
        lines = tuple((LINE_SECONDS * number, line) for number, line in enumerate(self.lines, 1))
        return ContainerRun(id=id_, started=started, lines=lines, tick=self.tick)


class _EmptyWhenUnset(dict[str, str]):
    """Variables for format strings; unset ones are empty, as in a shell."""

    def __missing__(self, key: str) -> str:
        return ""


def simulate_run(program: Program, image: str, pod: str, variables: Mapping[str, str]) -> RunOutcome:
    """Decide what a program prints and whether it exits in this environment."""
    missing = next((key for key in program.requires if not variables.get(key)), None)
    variables_ = {"tag": split_image(image)[1], "pod": pod, "env": _EmptyWhenUnset(variables)}
    start = tuple(line.format_map(variables_) for line in program.start)
    if missing is not None:
        fatal = program.missing.format(key=missing, where=program.requires[missing])
        return RunOutcome((*start[:1], fatal), 1, CRASH_SECONDS, PeriodicOutput())
    if program.crashes:
        return RunOutcome((*start, *program.crashes), 1, CRASH_SECONDS, PeriodicOutput())
    return RunOutcome(start, None, 0.0, program.tick)
