"""Figures of use, counted where the rows are: nothing is kept twice, and nothing goes wrong when a process dies.

Deleting a conversation changes none of them: the rows that are counted here stay, without what they held.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial

from src.api.errors import BadRequest
from src.api.ports import Clock, Reader, Store
from src.api.schemas.analytics import (
    Approvals,
    DayFigures,
    Figures,
    Metrics,
    ModelFigures,
    Quantiles,
    Runs,
    Tokens,
    ToolCalls,
    ToolFigures,
)
from src.api.schemas.query import Between, Day, Filled, Grouping, Rounded, Where, no
from src.api.schemas.record import Record
from src.api.schemas.records import Approval, Call, ModelCall, Run, Tally
from src.api.schemas.states import ENDED
from src.api.services.access import Caller, require_admin

__all__ = ["Analytics"]

MOST_DAYS = 366
MOST_NAMES = 200
DAYS = 30
AT_ONCE = 31
"""Days that are counted in one go, so that nobody waits behind a year."""

DAY_MS = 86_400_000
_SPENT = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_nano", Filled("cost_nano"))
_FAILED = ("error", "unknown")
_WORDS = {"consumed": "approved"}

Counts = dict[int, int]
"""How often each value was measured: it says the quantiles without the values themselves."""


class Analytics:
    """For admins, and machines of theirs: the figures are of everybody."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def metrics(self, caller: Caller, since: date | None, until: date | None) -> Metrics:
        """Both days count. By default the last 30. Raises `Forbidden`, `BadRequest` for more than 366."""
        require_admin(caller, "see the figures of everybody", machines=True)
        last = until or datetime.fromtimestamp(self._clock.now() / 1000, UTC).date()
        first = since or date.fromordinal(max(1, last.toordinal() - DAYS + 1))
        if not 0 <= (last - first).days < MOST_DAYS or _day(first) < 0:
            raise BadRequest(f"`since` must be a day from 1970 up to `until`, for {MOST_DAYS} days at the most.")
        counted = _Counted()
        for span in _spans(_day(first), _day(last) + 1):
            for part in (counted.spent, counted.runs, counted.approvals, counted.calls):
                await self._store.read(partial(part, span))
        return counted.metrics(first, last)


def _spans(day: int, end: int) -> Iterator[Between]:
    for begin in range(day, end, AT_ONCE):
        yield Between(begin * DAY_MS, min(begin + AT_ONCE, end) * DAY_MS)


class _Counted:
    """What has been counted so far, of whole days."""

    def __init__(self) -> None:
        self._totals = _empty()
        self._days: defaultdict[int, Figures] = defaultdict(_empty)
        self._models: defaultdict[str, Tokens] = defaultdict(Tokens)
        self._tools: defaultdict[str, ToolCalls] = defaultdict(ToolCalls)
        self._ttft: Counts = defaultdict(int)
        self._durations: Counts = defaultdict(int)
        self._decisions: Counts = defaultdict(int)

    def metrics(self, first: date, last: date) -> Metrics:
        self._totals.ttft_ms = _quantiles(self._ttft)
        self._totals.duration_ms = _quantiles(self._durations)
        self._totals.approvals.decided_after_ms = _quantiles(self._decisions)
        models = sorted(self._models.items(), key=lambda item: item[1].calls, reverse=True)[:MOST_NAMES]
        tools = sorted(self._tools.items(), key=lambda item: item[1].calls, reverse=True)[:MOST_NAMES]
        return Metrics(
            since=first,
            until=last,
            totals=self._totals,
            days=[
                DayFigures(day=date(1970, 1, 1) + timedelta(days=day), **dict(figures))
                for day, figures in sorted(self._days.items())
            ],
            models=[ModelFigures(model=name, **dict(spent)) for name, spent in models],
            tools=[ToolFigures(tool=name, **dict(called)) for name, called in tools],
        )

    async def spent(self, span: Between, reader: Reader) -> None:
        where: Where = {"created_at": span}
        for each in await reader.tally(ModelCall, (Day("created_at"), "model"), where, _SPENT):
            for one in (self._day(each).tokens, self._totals.tokens, self._models[str(each.by[1])]):
                _add(one, each)
        by = (Day("created_at"), Rounded("ttft_ms"))
        measured = await _measured(reader, ModelCall, by, {**where, "ttft_ms": no(None)}, self._ttft)
        for day, counts in measured.items():
            self._days[day].ttft_ms = _quantiles(counts)

    async def runs(self, span: Between, reader: Reader) -> None:
        for each in await reader.tally(Run, (Day("ended_at"), "state"), {"ended_at": span, "state": ENDED}):
            for one in (self._day(each).runs, self._totals.runs):
                _count(one, str(each.by[1]), each.count)
        by = (Day("ended_at"), Rounded("ended_at", since="created_at"))
        measured = await _measured(reader, Run, by, {"ended_at": span, "state": "completed"}, self._durations)
        for day, counts in measured.items():
            self._days[day].duration_ms = _quantiles(counts)

    async def approvals(self, span: Between, reader: Reader) -> None:
        for each in await reader.tally(Approval, (Day("created_at"), "status"), {"created_at": span}):
            status = str(each.by[1])
            for one in (self._day(each).approvals, self._totals.approvals):
                one.asked += each.count
                _count(one, _WORDS.get(status, status), each.count)
        by = (Day("created_at"), Rounded("decided_at", since="created_at"))
        where: Where = {"created_at": span, "decided_at": no(None)}
        for day, counts in (await _measured(reader, Approval, by, where, self._decisions, above=0)).items():
            self._days[day].approvals.decided_after_ms = _quantiles(counts)

    async def calls(self, span: Between, reader: Reader) -> None:
        for each in await reader.tally(Call, (Day("created_at"), "status", "tool"), {"created_at": span}):
            for one in (self._day(each).tool_calls, self._totals.tool_calls, self._tools[str(each.by[2])]):
                one.calls += each.count
                one.failed += each.count if each.by[1] in _FAILED else 0

    def _day(self, each: Tally) -> Figures:
        return self._days[_number(each, 0)]


async def _measured(
    reader: Reader, kind: type[Record], by: Sequence[Grouping], where: Where, total: Counts, above: int = -1
) -> dict[int, Counts]:
    """How often each value was measured on each day, added to the total too. Values up to `above` are left out: what
    a policy decides is decided as it is asked, in no time."""
    days: defaultdict[int, Counts] = defaultdict(dict)
    for each in await reader.tally(kind, by, where):
        value = _number(each, 1)
        if value > above:
            days[_number(each, 0)][value] = each.count
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


def _add(spent: Tokens, each: Tally) -> None:
    spent.calls += each.count
    spent.prompt += each.sums[0]
    spent.completion += each.sums[1]
    spent.cached += each.sums[2]
    spent.cost = round(spent.cost + each.sums[3] / 1e9, 9)
    spent.unpriced += each.count - each.sums[4]


def _count(one: Runs | Approvals, name: str, count: int) -> None:
    setattr(one, name, getattr(one, name) + count)


def _number(each: Tally, at: int) -> int:
    return int(each.by[at] or 0)


def _empty() -> Figures:
    return Figures(
        runs=Runs(),
        tokens=Tokens(),
        ttft_ms=Quantiles(),
        duration_ms=Quantiles(),
        approvals=Approvals(),
        tool_calls=ToolCalls(),
    )


def _day(day: date) -> int:
    return (day - date(1970, 1, 1)).days
