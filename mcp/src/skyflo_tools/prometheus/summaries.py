"""Summarize series: last, least, greatest and mean value, and the trend. Linear in the number of samples. No I/O."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel

from skyflo_tools.prometheus.models import Sample
from skyflo_tools.shortening import one_line

LABEL_CHARACTERS = 400
FLAT_SHARE = 0.05
"""A change of the mean by less than this share of the series' greatest magnitude counts as flat."""


class SeriesSummary(BaseModel):
    """A series in short. Values are texts, as Prometheus writes them, since `NaN` and `+Inf` are no JSON numbers."""

    series: str
    samples: int
    last: str
    min: str
    max: str
    mean: str
    trend: str
    points: list[tuple[str, str]] = []
    """Times and values. Empty for series beyond the first ones."""

    def line(self) -> str:
        gaps = f", {self.samples} samples"
        return f"{self.series}: last {self.last}, min {self.min}, max {self.max}, mean {self.mean}, {self.trend}{gaps}"


def summarize(name: str, samples: Sequence[Sample], *, with_points: bool) -> SeriesSummary:
    """Summarize one series. Samples that are not numbers are counted and left out of the figures."""
    numbers = [value for _, text in samples if not math.isnan(value := to_number(text))]
    missing = len(samples) - len(numbers)
    trend = _trend(numbers) + (f", {missing} samples are NaN" if missing else "")
    finite = [value for value in numbers if math.isfinite(value)]
    return SeriesSummary(
        series=name,
        samples=len(samples),
        last=format_value(to_number(samples[-1][1])) if samples else "none",
        min=format_value(min(numbers, default=math.nan)),
        max=format_value(max(numbers, default=math.nan)),
        mean=format_value(math.fsum(finite) / len(finite) if finite else math.nan),
        trend=trend,
        points=[(format_time(at), format_value(to_number(text))) for at, text in samples] if with_points else [],
    )


def _trend(numbers: Sequence[float]) -> str:
    """Compare the mean of the last quarter with that of the first one."""
    finite = [value for value in numbers if math.isfinite(value)]
    if len(finite) < 4:
        return "too few samples for a trend"
    quarter = len(finite) // 4
    first, last = math.fsum(finite[:quarter]) / quarter, math.fsum(finite[-quarter:]) / quarter
    change = last - first
    if abs(change) <= FLAT_SHARE * max(map(abs, finite)):
        return "flat"
    share = f" by {abs(change) / abs(first):.0%}" if first else ""
    return f"{'rising' if change > 0 else 'falling'}{share}"


def to_number(text: str) -> float:
    """Parse a value of Prometheus; NaN for anything else."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def format_value(value: float) -> str:
    """Format a number with six significant digits, as Prometheus spells those that are none."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return f"{value:.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"


def format_time(at: float) -> str:
    """Format a time in seconds as RFC 3339, in UTC."""
    try:
        return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    except (OverflowError, ValueError, OSError):
        return f"{at}"


def format_labels(labels: dict[str, str]) -> str:
    """Write a series as PromQL does: `up{job="api"}`."""
    name = labels.get("__name__", "")
    rest = ", ".join(f'{key}="{value}"' for key, value in sorted(labels.items()) if key != "__name__")
    return one_line(f"{name}{{{rest}}}" if rest or not name else name, LABEL_CHARACTERS)
