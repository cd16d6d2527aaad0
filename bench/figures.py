"""What a benchmark has found."""

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import median

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
    """A benchmark's figures, or why there are none, and how loaded the machine was when it began."""

    benchmark: str
    figures: Sequence[Figure]
    load: float
    missing: str = ""

    def as_json(self) -> dict[str, object]:
        figures = [asdict(each) | {"met": each.met, "ratio": each.ratio} for each in self.figures]
        return {"benchmark": self.benchmark, "load": self.load, "measured": not self.missing, "figures": figures}


def found(name: str, measure: Callable[[], Sequence[Figure]]) -> Found:
    """Runs one benchmark. What it can't do is said with its reason, and does not end the others."""
    load = os.getloadavg()[0]
    try:
        return Found(name, measure(), load)
    except (TimeoutError, RuntimeError, OSError) as error:
        return Found(name, (), load, f"{type(error).__name__}: {str(error)[-900:]}")


def middle(values: Sequence[float]) -> float:
    """The median: on a busy machine the mean says more about its other work than about ours."""
    return median(values)
