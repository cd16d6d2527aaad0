"""Usage figures: cost, latency and outcomes."""

import datetime as dt
from typing import Literal

from pydantic import BaseModel

__all__ = [
    "ApprovalCounts",
    "DailyUsage",
    "DayFigures",
    "Figures",
    "Metrics",
    "ModelFigures",
    "Quantiles",
    "RunCounts",
    "TokenCounts",
    "ToolFigures",
    "UsageSummary",
]


class Quantiles(BaseModel):
    """In milliseconds, rounded to two digits; null if nothing was measured."""

    p50: int | None = None
    p95: int | None = None


class RunCounts(BaseModel):
    """Ended runs by state."""

    completed: int = 0
    failed: int = 0
    stopped: int = 0


class TokenCounts(BaseModel):
    """Tokens of model calls. `cost` is in US dollars and excludes `unpriced` calls, whose price is unknown."""

    calls: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    cost: float = 0.0
    unpriced: int = 0


class ApprovalCounts(BaseModel):
    """Approval requests, each counted once by its current status.

    `approved`: a person or the policy approved it, and it ran or may still run. `stale`: the state that it was approved
    for has changed, so it was requested again or denied. `expired`: it was not decided, or not started, in time.
    `decided_after_ms`: time until a person approved, denied or edited it.
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


class ToolCallCounts(BaseModel):
    """Tool calls. `failed` counts those that ended as `error` or `unknown`."""

    calls: int = 0
    failed: int = 0


class Figures(BaseModel):
    """Usage figures of a period.

    `ttft_ms`: time until the first token of a run. `duration_ms`: time from the message to the end of a completed run,
    without the time that people took to decide.
    """

    runs: RunCounts = RunCounts()
    tokens: TokenCounts = TokenCounts()
    ttft_ms: Quantiles = Quantiles()
    duration_ms: Quantiles = Quantiles()
    approvals: ApprovalCounts = ApprovalCounts()
    tool_calls: ToolCallCounts = ToolCallCounts()


class DayFigures(Figures):
    """Figures of one day in UTC."""

    day: dt.date


class ModelFigures(TokenCounts):
    model: str


class ToolFigures(ToolCallCounts):
    tool: str


class DailyUsage(BaseModel):
    """Usage of one day in UTC; the means are null if nothing was measured."""

    date: dt.date
    cost: float
    total_tokens: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    avg_ttft_ms: float | None
    avg_ttr_ms: float | None


class UsageSummary(BaseModel):
    """A period in one flat object. Approvals and rejections are decisions of people.

    `avg_ttr_ms`: time from the message to the end of a completed run. `cache_hit_rate`: cached tokens among prompt
    tokens. Conversations count in the period in which they begin.
    """

    period_start: dt.datetime
    period_end: dt.datetime
    total_cost: float
    total_tokens: int
    total_prompt_tokens: int
    total_completion_tokens: int
    total_cached_tokens: int
    total_conversations: int
    total_approvals: int
    total_rejections: int
    avg_ttft_ms: float | None
    avg_ttr_ms: float | None
    avg_cost_per_conversation: float
    avg_tokens_per_conversation: float
    cache_hit_rate: float
    approval_acceptance_rate: float | None
    daily_breakdown: list[DailyUsage]


class Metrics(UsageSummary):
    """Figures of a period. `days` and `daily_breakdown` list days with activity, `models` and `tools` the 200 most used
    ones.
    """

    status: Literal["success"] = "success"
    since: dt.date
    until: dt.date
    totals: Figures
    days: list[DayFigures]
    models: list[ModelFigures]
    tools: list[ToolFigures]
