"""Summarize usage figures in the flat shape that existing pages of this API read."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from src.api.schemas.analytics import DailyUsage, Figures, UsageSummary

__all__ = ["Mean", "SummaryCounts", "summarize"]


@dataclass(slots=True)
class Mean:
    """The mean of values that are added as sums."""

    total: int = 0
    count: int = 0

    def add(self, total: int, count: int) -> None:
        self.total += total
        self.count += count

    @property
    def value(self) -> float | None:
        return round(self.total / self.count, 1) if self.count else None


@dataclass(slots=True)
class SummaryCounts:
    """What the summary counts besides the figures; means by day, as a number of days since the epoch.

    `approved` and `denied` are decisions of people; the policy's are not among them.
    """

    conversations: int = 0
    approved: int = 0
    denied: int = 0
    ttft: defaultdict[int, Mean] = field(default_factory=lambda: defaultdict(Mean))
    ttr: defaultdict[int, Mean] = field(default_factory=lambda: defaultdict(Mean))

    def merged(self, by_day: defaultdict[int, Mean]) -> float | None:
        """Return the mean over all days."""
        return Mean(sum(each.total for each in by_day.values()), sum(each.count for each in by_day.values())).value


def summarize(
    first: date, last: date, totals: Figures, days: dict[int, Figures], counts: SummaryCounts
) -> UsageSummary:
    """Build the summary of whole days in UTC, `first` and `last` included."""
    tokens = totals.tokens
    total_tokens = tokens.prompt + tokens.completion
    decided = counts.approved + counts.denied
    return UsageSummary(
        period_start=datetime.combine(first, time.min, UTC),
        period_end=datetime.combine(last, time.max, UTC),
        total_cost=tokens.cost,
        total_tokens=total_tokens,
        total_prompt_tokens=tokens.prompt,
        total_completion_tokens=tokens.completion,
        total_cached_tokens=tokens.cached,
        total_conversations=counts.conversations,
        total_approvals=counts.approved,
        total_rejections=counts.denied,
        avg_ttft_ms=counts.merged(counts.ttft),
        avg_ttr_ms=counts.merged(counts.ttr),
        avg_cost_per_conversation=_ratio(tokens.cost, counts.conversations) or 0.0,
        avg_tokens_per_conversation=_ratio(total_tokens, counts.conversations) or 0.0,
        cache_hit_rate=_ratio(tokens.cached, tokens.prompt) or 0.0,
        approval_acceptance_rate=_ratio(counts.approved, decided),
        daily_breakdown=[_daily(day, figures, counts) for day, figures in sorted(days.items())],
    )


def _daily(day: int, figures: Figures, counts: SummaryCounts) -> DailyUsage:
    tokens = figures.tokens
    return DailyUsage(
        date=date(1970, 1, 1) + timedelta(days=day),
        cost=tokens.cost,
        total_tokens=tokens.prompt + tokens.completion,
        prompt_tokens=tokens.prompt,
        completion_tokens=tokens.completion,
        cached_tokens=tokens.cached,
        avg_ttft_ms=counts.ttft.get(day, Mean()).value,
        avg_ttr_ms=counts.ttr.get(day, Mean()).value,
    )


def _ratio(part: float, whole: int) -> float | None:
    return part / whole if whole else None
