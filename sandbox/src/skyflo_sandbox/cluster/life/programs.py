"""One run of a program: what it prints and how it ends, decided by its image and its environment."""

from collections.abc import Mapping
from dataclasses import dataclass

from skyflo_sandbox.cluster.life.images import Program, Ticking, split
from skyflo_sandbox.cluster.life.logbook import Run

__all__ = ["Outcome", "played"]

CRASH_SECONDS = 0.8
LINE_SECONDS = 0.001


@dataclass(frozen=True)
class Outcome:
    """What a run will be. `code` is None for one that stays up; `seconds` is how long the others last."""

    lines: tuple[str, ...]
    code: int | None
    seconds: float
    tick: Ticking

    def run(self, id_: str, started: float) -> Run:
        lines = tuple((LINE_SECONDS * number, line) for number, line in enumerate(self.lines, 1))
        return Run(id=id_, started=started, lines=lines, tick=self.tick)


class _Empty(dict[str, str]):
    """A variable that is not set is empty, as in a shell."""

    def __missing__(self, key: str) -> str:
        return ""


def played(program: Program, image: str, pod: str, variables: Mapping[str, str]) -> Outcome:
    """What a program does in this environment."""
    missing = next((key for key in program.requires if not variables.get(key)), None)
    said = {"tag": split(image)[1], "pod": pod, "env": _Empty(variables)}
    start = tuple(line.format_map(said) for line in program.start)
    if missing is not None:
        fatal = program.missing.format(key=missing, where=program.requires[missing])
        return Outcome((*start[:1], fatal), 1, CRASH_SECONDS, Ticking())
    if program.crashes:
        return Outcome((*start, *program.crashes), 1, CRASH_SECONDS, Ticking())
    return Outcome(start, None, 0.0, program.tick)
