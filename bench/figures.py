"""What a benchmark has found."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from statistics import median
from typing import Any, Self

__all__ = ["Figure", "Found", "middle"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value: the median of `runs`. `target` is the most it may be; `floor` is what the floor took."""

    name: str
    value: float
    unit: str
    target: float | None = None
    floor: float | None = None
    runs: int = 1
    note: str = ""

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None


@dataclass(frozen=True, slots=True)
class Found:
    """A benchmark's figures, or why there are none, when it began, and how loaded the machine was then."""

    benchmark: str
    figures: Sequence[Figure]
    load: float
    when: str
    missing: str = ""

    @classmethod
    def of_json(cls, known: Mapping[str, Any], when: str) -> Self:
        """What a run has left in bench/results.json; `when`: that run's own time."""
        names = {each.name for each in fields(Figure)}
        figures = [
            Figure(**{name: value for name, value in each.items() if name in names}) for each in known["figures"]
        ]
        missing = "" if known["measured"] else "by the last run"
        return cls(known["benchmark"], figures, known["load"], known.get("when", when), missing)

    def as_json(self) -> dict[str, object]:
        figures = [asdict(each) | {"met": each.met, "ratio": each.ratio} for each in self.figures]
        return {
            "benchmark": self.benchmark,
            "when": self.when,
            "load": self.load,
            "measured": not self.missing,
            "figures": figures,
        }


def found(name: str, measure: Callable[[], Sequence[Figure]]) -> Found:
    """Runs one benchmark. What it can't do is said with its reason, and does not end the others."""
    load, when = os.getloadavg()[0], datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    try:
        return Found(name, measure(), load, when)
    except (TimeoutError, RuntimeError, OSError) as error:
        return Found(name, (), load, when, f"{type(error).__name__}: {str(error)[-900:]}")


def middle(values: Sequence[float]) -> float:
    """The median: on a busy machine the mean says more about its other work than about ours."""
    return median(values)
