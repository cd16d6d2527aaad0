"""Figures of use: what it cost, how long it took, how it ended."""

from datetime import date
from typing import Literal

from pydantic import BaseModel

__all__ = [
    "Approvals",
    "DayFigures",
    "Figures",
    "Metrics",
    "ModelFigures",
    "Quantiles",
    "Runs",
    "Tokens",
    "ToolFigures",
]


class Quantiles(BaseModel):
    """In milliseconds, to two digits; null where nothing was measured."""

    p50: int | None = None
    p95: int | None = None


class Runs(BaseModel):
    """Runs that ended."""

    completed: int = 0
    failed: int = 0
    stopped: int = 0


class Tokens(BaseModel):
    """Of calls of the model. `cost` is in US dollars and leaves out the `unpriced` calls, whose price is not known."""

    calls: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cost: float = 0.0
    unpriced: int = 0


class Approvals(BaseModel):
    """Changes that were asked for, each counted once, by what has become of the asking.

    `approved`: a person or the policy said yes, and it ran or may still run. `stale`: that yes rested on what has
    changed since, so it was asked anew, or forbidden. `expired`: nobody decided in time, or it did not start in time.
    `decided_after_ms`: until a person said yes or no, or edited it.
    """

    asked: int = 0
    pending: int = 0
    approved: int = 0
    denied: int = 0
    expired: int = 0
    superseded: int = 0
    stale: int = 0
    stopped: int = 0
    decided_after_ms: Quantiles = Quantiles()


class ToolCalls(BaseModel):
    """`failed` counts those that ended as `error` or `unknown`."""

    calls: int = 0
    failed: int = 0


class Figures(BaseModel):
    """`ttft_ms`: how long a person waited for the first token of a run. `duration_ms`: from a message to the end of a
    completed run, the waiting for people included."""

    runs: Runs = Runs()
    tokens: Tokens = Tokens()
    ttft_ms: Quantiles = Quantiles()
    duration_ms: Quantiles = Quantiles()
    approvals: Approvals = Approvals()
    tool_calls: ToolCalls = ToolCalls()


class DayFigures(Figures):
    """Of one day, in UTC."""

    day: date


class ModelFigures(Tokens):
    model: str


class ToolFigures(ToolCalls):
    tool: str


class Metrics(BaseModel):
    """`days` lists those on which there was something. `models` and `tools`: the 200 most used."""

    status: Literal["success"] = "success"
    since: date
    until: date
    totals: Figures
    days: list[DayFigures]
    models: list[ModelFigures]
    tools: list[ToolFigures]
