"""Figures of use, counted where the rows are: nothing is kept twice, and nothing goes wrong when a process dies.

Deleting a conversation changes none of them: the rows that are counted here stay, without what they held.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

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
from src.api.schemas.query import Between, Day, Grouping, Rounded, Where, no
from src.api.schemas.record import Record
from src.api.schemas.records import Approval, Call, ModelCall, Run, Tally
from src.api.schemas.states import ENDED
from src.api.services.access import Caller, require_admin

__all__ = ["Analytics"]

MOST_DAYS = 366
MOST_NAMES = 200
DAYS = 30
DAY_MS = 86_400_000
_SPENT = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_nano")
_FAILED = ("error", "unknown")
_WORDS = {"consumed": "approved", "stale": "approved"}

Key = int | None
"""A day since 1970, or None for all of them."""


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
        span = Between(_day(first) * DAY_MS, (_day(last) + 1) * DAY_MS)
        return await self._store.read(lambda reader: _metrics(reader, first, last, span))


async def _metrics(reader: Reader, first: date, last: date, span: Between) -> Metrics:
    figures: defaultdict[Key, Figures] = defaultdict(_empty)
    models = await _spent(reader, span, figures)
    await _runs(reader, span, figures)
    await _approvals(reader, span, figures)
    tools = await _tools(reader, span, figures)
    days = sorted(day for day in figures if day is not None)
    return Metrics(
        since=first,
        until=last,
        totals=figures[None],
        days=[DayFigures(day=date(1970, 1, 1) + timedelta(days=day), **dict(figures[day])) for day in days],
        models=models,
        tools=tools,
    )


async def _spent(reader: Reader, span: Between, figures: defaultdict[Key, Figures]) -> list[ModelFigures]:
    where: Where = {"created_at": span}
    models: defaultdict[str, Tokens] = defaultdict(Tokens)
    for each in await reader.tally(ModelCall, (Day("created_at"), "model"), where, _SPENT):
        for one in (figures[_number(each, 0)].tokens, figures[None].tokens, models[str(each.by[1])]):
            _add(one, each)
    for each in await reader.tally(ModelCall, (Day("created_at"), "model"), {**where, "cost_nano": None}):
        for one in (figures[_number(each, 0)].tokens, figures[None].tokens, models[str(each.by[1])]):
            one.unpriced += each.count
    measured = await _quantiles(
        reader, ModelCall, (Day("created_at"), Rounded("ttft_ms")), {**where, "ttft_ms": no(None)}
    )
    for day, quantiles in measured.items():
        figures[day].ttft_ms = quantiles
    most = sorted(models.items(), key=lambda item: item[1].calls, reverse=True)[:MOST_NAMES]
    return [ModelFigures(model=name, **dict(spent)) for name, spent in most]


async def _runs(reader: Reader, span: Between, figures: defaultdict[Key, Figures]) -> None:
    for each in await reader.tally(Run, (Day("ended_at"), "state"), {"ended_at": span, "state": ENDED}):
        for one in (figures[_number(each, 0)].runs, figures[None].runs):
            _count(one, str(each.by[1]), each.count)
    by = (Day("ended_at"), Rounded("ended_at", since="created_at"))
    for day, quantiles in (await _quantiles(reader, Run, by, {"ended_at": span, "state": "completed"})).items():
        figures[day].duration_ms = quantiles


async def _approvals(reader: Reader, span: Between, figures: defaultdict[Key, Figures]) -> None:
    for each in await reader.tally(Approval, (Day("created_at"), "status"), {"created_at": span}):
        status = str(each.by[1])
        for one in (figures[_number(each, 0)].approvals, figures[None].approvals):
            one.asked += each.count
            _count(one, _WORDS.get(status, status), each.count)
    by = (Day("created_at"), Rounded("decided_at", since="created_at"))
    # What a policy decides is decided as it is asked: in no time.
    where: Where = {"created_at": span, "decided_at": no(None)}
    for day, quantiles in (await _quantiles(reader, Approval, by, where, above=0)).items():
        figures[day].approvals.decided_after_ms = quantiles


async def _tools(reader: Reader, span: Between, figures: defaultdict[Key, Figures]) -> list[ToolFigures]:
    tools: defaultdict[str, ToolCalls] = defaultdict(ToolCalls)
    for each in await reader.tally(Call, (Day("created_at"), "status"), {"created_at": span}):
        for one in (figures[_number(each, 0)].tool_calls, figures[None].tool_calls):
            _called(one, each)
    for each in await reader.tally(Call, ("tool", "status"), {"created_at": span}):
        _called(tools[str(each.by[0])], each)
    most = sorted(tools.items(), key=lambda item: item[1].calls, reverse=True)[:MOST_NAMES]
    return [ToolFigures(tool=name, **dict(called)) for name, called in most]


async def _quantiles(
    reader: Reader, kind: type[Record], by: Sequence[Grouping], where: Where, above: int = -1
) -> dict[Key, Quantiles]:
    """Of each day, and of all of them: how often each value was measured says it without the values themselves."""
    measured: defaultdict[Key, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    for each in await reader.tally(kind, by, where):
        value = _number(each, 1)
        if value > above:
            for day in (_number(each, 0), None):
                measured[day][value] += each.count
    return {day: _of(values.items()) for day, values in measured.items()}


def _of(values: Iterable[tuple[int, int]]) -> Quantiles:
    ordered = sorted(values)
    total = sum(count for _, count in ordered)
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


def _called(one: ToolCalls, each: Tally) -> None:
    one.calls += each.count
    one.failed += each.count if each.by[1] in _FAILED else 0


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
