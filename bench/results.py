"""Results of benchmarks."""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from typing import Any, Self

__all__ = ["BenchmarkResult", "Measurement", "median", "run_benchmark"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured value, the median of `runs`.

    `target` is the largest permitted value, `floor` the same measurement of the floor.
    """

    name: str
    value: float
    unit: str
    target: float | None = None
    floor: float | None = None
    runs: int = 1
    note: str = ""

    @property
    def is_met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target

    @property
    def ratio(self) -> float | None:
        return self.value / self.floor if self.floor else None


@dataclass(frozen=True, slots=True)
class BenchmarkResult:
    """The measurements of one benchmark, or the error that prevented them, with time and load at its start."""

    benchmark: str
    figures: Sequence[Measurement]
    load: float
    when: str
    error: str = ""

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any], when: str) -> Self:
        """Read a result from bench/results.json. `when` is the time of the whole run, for results without their own."""
        names = {each.name for each in fields(Measurement)}
        figures = [
            Measurement(**{name: value for name, value in each.items() if name in names})
            for each in recorded["figures"]
        ]
        error = "" if recorded["measured"] else "by the last run"
        return cls(recorded["benchmark"], figures, recorded["load"], recorded.get("when", when), error)

    def to_json(self) -> dict[str, object]:
        figures = [asdict(each) | {"met": each.is_met, "ratio": each.ratio} for each in self.figures]
        return {
            "benchmark": self.benchmark,
            "when": self.when,
            "load": self.load,
            "measured": not self.error,
            "figures": figures,
        }


def run_benchmark(name: str, benchmark: Callable[[], Sequence[Measurement]]) -> BenchmarkResult:
    """Run one benchmark. Its expected failures become the result's error, so that the others can run."""
    load, when = os.getloadavg()[0], datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    try:
        return BenchmarkResult(name, benchmark(), load, when)
    except (TimeoutError, RuntimeError, OSError) as failure:
        return BenchmarkResult(name, (), load, when, f"{type(failure).__name__}: {str(failure)[-900:]}")


def median(values: Sequence[float]) -> float:
    """Return the median: on a busy machine the mean depends more on other work."""
    return statistics.median(values)
