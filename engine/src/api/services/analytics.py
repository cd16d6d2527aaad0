"""Compute usage figures from the stored rows, without counters that a crash could corrupt.

Deleting a conversation does not change them: the counted rows survive erasure.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

from src.api.errors import BadRequest
from src.api.ports import Clock, Reader, Store
from src.api.schemas.analytics import (
    ApprovalCounts,
    DayFigures,
    Figures,
    Metrics,
    ModelFigures,
    Quantiles,
    RunCounts,
    TokenCounts,
    ToolCallCounts,
    ToolFigures,
)
from src.api.schemas.query import Between, CountNonNull, Day, Grouping, LogBucket, Where, is_not_null
from src.api.schemas.records import AggregateRow, Approval, Call, Conversation, ModelCall, Record, Run
from src.api.schemas.states import ENDED
from src.api.services.access import Caller, require_admin
from src.api.services.usage_summary import SummaryCounts, summarize
from src.api.utils.times import DAY_MS

__all__ = ["Analytics"]

MAX_DAYS = 366
MAX_NAMES = 200
DEFAULT_DAYS = 30
DAYS_PER_READ = 31
"""Days per query, so that other reads do not wait for a whole year."""

_TOKEN_SUMS = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_nano", CountNonNull("cost_nano"))
_FAILED = ("error", "unknown")
_STATUS_FIELDS = {"consumed": "approved"}

Counts = dict[int, int]
"""Histogram of measured values."""


@dataclass(slots=True)
class Analytics:
    """Usage figures of all users, for admins and their API tokens."""

    store: Store
    clock: Clock

    async def metrics(
        self, caller: Caller, since: date | None, until: date | None, last_days: int | None = None
    ) -> Metrics:
        """Return the figures from `since` to `until`, both included; without `since`, of the last days, 30 by default.

        Raises `Forbidden`, and `BadRequest` for more than 366 days.
        """
        require_admin(caller, "see the figures of everybody", machines=True)
        last = until or datetime.fromtimestamp(self.clock.now() / 1000, UTC).date()
        first = since or date.fromordinal(max(1, last.toordinal() - (last_days or DEFAULT_DAYS) + 1))
        if not 0 <= (last - first).days < MAX_DAYS or _day_number(first) < 0:
            raise BadRequest(f"`since` must be a day from 1970 up to `until`, for {MAX_DAYS} days at the most.")
        aggregation = _Aggregation()
        for span in _split_days(_day_number(first), _day_number(last) + 1):
            for part in (
                aggregation.add_model_calls,
                aggregation.add_runs,
                aggregation.add_approvals,
                aggregation.add_calls,
                aggregation.add_conversations,
            ):
                await self.store.read(partial(part, span))
        return aggregation.metrics(first, last)


def _split_days(day: int, end: int) -> Iterator[Between]:
    for begin in range(day, end, DAYS_PER_READ):
        yield Between(begin * DAY_MS, min(begin + DAYS_PER_READ, end) * DAY_MS)


class _Aggregation:
    """Figures accumulated over whole days."""

    def __init__(self) -> None:
        self._totals = _empty_figures()
        self._days: defaultdict[int, Figures] = defaultdict(_empty_figures)
        self._models: defaultdict[str, TokenCounts] = defaultdict(TokenCounts)
        self._tools: defaultdict[str, ToolCallCounts] = defaultdict(ToolCallCounts)
        self._ttft: Counts = defaultdict(int)
        self._durations: Counts = defaultdict(int)
        self._decisions: Counts = defaultdict(int)
        self._summary = SummaryCounts()

    def metrics(self, first: date, last: date) -> Metrics:
        self._totals.ttft_ms = _quantiles(self._ttft)
        self._totals.duration_ms = _quantiles(self._durations)
        self._totals.approvals.decided_after_ms = _quantiles(self._decisions)
        models = sorted(self._models.items(), key=lambda item: item[1].calls, reverse=True)[:MAX_NAMES]
        tools = sorted(self._tools.items(), key=lambda item: item[1].calls, reverse=True)[:MAX_NAMES]
        summary = summarize(first, last, self._totals, self._days, self._summary)
        return Metrics(
            **dict(summary),
            since=first,
            until=last,
            totals=self._totals,
            days=[
                DayFigures(day=date(1970, 1, 1) + timedelta(days=day), **dict(figures))
                for day, figures in sorted(self._days.items())
            ],
            models=[ModelFigures(model=name, **dict(add_model_calls)) for name, add_model_calls in models],
            tools=[ToolFigures(tool=name, **dict(called)) for name, called in tools],
        )

    async def add_model_calls(self, span: Between, reader: Reader) -> None:
        where: Where = {"created_at": span}
        for each in await reader.aggregate(ModelCall, (Day("created_at"), "model"), where, _TOKEN_SUMS):
            for one in (self._day_number(each).tokens, self._totals.tokens, self._models[str(each.by[1])]):
                _add_tokens(one, each)
        timed: Where = {**where, "ttft_ms": is_not_null()}
        for each in await reader.aggregate(ModelCall, (Day("created_at"),), timed, ("ttft_ms",)):
            self._summary.ttft[_group_value(each, 0)].add(each.sums[0], each.count)
        by = (Day("created_at"), LogBucket("ttft_ms"))
        measured = await _read_distribution(reader, ModelCall, by, timed, self._ttft)
        for day, counts in measured.items():
            self._days[day].ttft_ms = _quantiles(counts)

    async def add_runs(self, span: Between, reader: Reader) -> None:
        for each in await reader.aggregate(Run, (Day("ended_at"), "state"), {"ended_at": span, "state": ENDED}):
            for one in (self._day_number(each).runs, self._totals.runs):
                _add_count(one, str(each.by[1]), each.count)
        completed: Where = {"ended_at": span, "state": "completed"}
        for each in await reader.aggregate(Run, (Day("ended_at"),), completed, ("ended_at", "created_at")):
            self._summary.ttr[_group_value(each, 0)].add(each.sums[0] - each.sums[1], each.count)
        by = (Day("ended_at"), LogBucket("ended_at", minus=("created_at", "waited_ms")))
        measured = await _read_distribution(reader, Run, by, completed, self._durations)
        for day, counts in measured.items():
            self._days[day].duration_ms = _quantiles(counts)

    async def add_approvals(self, span: Between, reader: Reader) -> None:
        of_policy = CountNonNull("decided_by_policy")
        for each in await reader.aggregate(Approval, (Day("created_at"), "status"), {"created_at": span}, (of_policy,)):
            status = str(each.by[1])
            by_people = each.count - each.sums[0]
            for one in (self._day_number(each).approvals, self._totals.approvals):
                one.asked += each.count
                _add_count(one, _STATUS_FIELDS.get(status, status), each.count)
            self._summary.approved += by_people if status in ("approved", "consumed") else 0
            self._summary.denied += by_people if status == "denied" else 0
        by = (Day("created_at"), LogBucket("decided_at", minus=("created_at",)))
        where: Where = {"created_at": span, "decided_at": is_not_null()}
        for day, counts in (await _read_distribution(reader, Approval, by, where, self._decisions, gt=0)).items():
            self._days[day].approvals.decided_after_ms = _quantiles(counts)

    async def add_calls(self, span: Between, reader: Reader) -> None:
        for each in await reader.aggregate(Call, (Day("created_at"), "status", "tool"), {"created_at": span}):
            for one in (self._day_number(each).tool_calls, self._totals.tool_calls, self._tools[str(each.by[2])]):
                one.calls += each.count
                one.failed += each.count if each.by[1] in _FAILED else 0

    async def add_conversations(self, span: Between, reader: Reader) -> None:
        for each in await reader.aggregate(Conversation, (Day("created_at"),), {"created_at": span}):
            self._summary.conversations += each.count

    def _day_number(self, each: AggregateRow) -> Figures:
        return self._days[_group_value(each, 0)]


async def _read_distribution(
    reader: Reader, kind: type[Record], by: Sequence[Grouping], where: Where, total: Counts, gt: int = -1
) -> dict[int, Counts]:
    """Return one histogram per day and add them to `total`.

    Values up to `gt` are left out: policy decisions take no time and would distort the time that people need.
    """
    days: defaultdict[int, Counts] = defaultdict(dict)
    for each in await reader.aggregate(kind, by, where):
        value = _group_value(each, 1)
        if value > gt:
            days[_group_value(each, 0)][value] = each.count
            total[value] += each.count
    return days


def _quantiles(counts: Mapping[int, int]) -> Quantiles:
    ordered = sorted(counts.items())
    total = sum(counts.values())
    return Quantiles(p50=_quantile(ordered, total * 50), p95=_quantile(ordered, total * 95))


def _quantile(ordered: Sequence[tuple[int, int]], hundredfold: int) -> int | None:
    passed = 0
    for value, count in ordered:
        passed += count
        if passed * 100 >= hundredfold:
            return value
    return None


def _add_tokens(add_model_calls: TokenCounts, each: AggregateRow) -> None:
    add_model_calls.calls += each.count
    add_model_calls.prompt += each.sums[0]
    add_model_calls.completion += each.sums[1]
    add_model_calls.cached += each.sums[2]
    add_model_calls.cost = round(add_model_calls.cost + each.sums[3] / 1e9, 9)
    add_model_calls.unpriced += each.count - each.sums[4]


def _add_count(one: RunCounts | ApprovalCounts, name: str, count: int) -> None:
    setattr(one, name, getattr(one, name) + count)


def _group_value(each: AggregateRow, at: int) -> int:
    return int(each.by[at] or 0)


def _empty_figures() -> Figures:
    return Figures(
        runs=RunCounts(),
        tokens=TokenCounts(),
        ttft_ms=Quantiles(),
        duration_ms=Quantiles(),
        approvals=ApprovalCounts(),
        tool_calls=ToolCallCounts(),
    )


def _day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days
