"""The tools prometheus_query, prometheus_query_range and prometheus_series."""

import math
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.prometheus import models
from skyflo_tools.prometheus.models import Series, SeriesResult
from skyflo_tools.prometheus.summaries import (
    SeriesSummary,
    format_labels,
    format_time,
    format_value,
    summarize,
    to_number,
)
from skyflo_tools.tool import CallContext, ReadTool, ToolArguments, ToolInfo, ToolOutput
from skyflo_tools.tools.prometheus_arguments import (
    PROMETHEUS_TAGS,
    Query,
    Time,
    notes_of,
    open_prometheus,
    parse_time,
)

MAX_SERIES = 100
MAX_SERIES_WITH_POINTS = 5
MAX_POINTS = 300
DEFAULT_POINTS = 60
MAX_RANGE_SECONDS = 366 * 86_400
NARROW = "aggregate (sum by, topk) or select fewer"
TIMEOUT = "25s"


class QueryArguments(ToolArguments):
    query: Query
    time: Time


class RangeArguments(ToolArguments):
    query: Query
    range_seconds: Annotated[
        int, Field(default=3600, ge=1, le=MAX_RANGE_SECONDS, description="How far back from the end.")
    ]
    end: Time
    step_seconds: Annotated[
        int | None,
        Field(default=None, ge=1, le=MAX_RANGE_SECONDS, description="Default: 60 points over the range."),
    ]


class SeriesArguments(ToolArguments):
    match: Annotated[
        str,
        Field(min_length=1, max_length=8000, description='Selector, such as `{job="api"}` or `http_requests_total`.'),
    ]
    range_seconds: Annotated[
        int, Field(default=3600, ge=1, le=MAX_RANGE_SECONDS, description="Seen in the last so many seconds.")
    ]


class Value(BaseModel):
    series: str
    value: str
    time: str


class QueryAnswer(BaseModel):
    values: list[Value]
    total: int
    """How many series the query has, also those that are not shown."""
    notes: list[str] = []


class RangeAnswer(BaseModel):
    series: list[SeriesSummary]
    total: int
    start: str
    end: str
    step_seconds: int
    notes: list[str] = []


class SeriesAnswer(BaseModel):
    series: list[str]
    total: int
    notes: list[str] = []


async def query(arguments: QueryArguments, call: CallContext) -> ToolOutput[QueryAnswer]:
    at = parse_time(arguments.time, call)
    params = {"query": arguments.query, "time": f"{at:.3f}", "timeout": TIMEOUT}
    answer = await open_prometheus(call).ask("query", params, models.QUERY)
    found = answer.data
    if isinstance(found, SeriesResult):
        values = [_value(each) for each in found.result[:MAX_SERIES]]
        total = len(found.result)
    else:
        values, total = [Value(series="", value=found.result[1], time=format_time(found.result[0]))], 1
    result = QueryAnswer(values=values, total=total, notes=notes_of(answer) + _left_out(total, len(values)))
    if not total:
        none = "No series: nothing matches the query at this time. prometheus_series shows which series there are."
        return ToolOutput("\n".join([none, *result.notes]), result)
    lines = [f"{each.series or 'value'} = {each.value} ({each.time})" for each in values]
    return ToolOutput("\n".join([*result.notes, limit_lines(lines, TEXT_BYTES, "series", NARROW)]), result)


def _value(series: Series) -> Value:
    """Return the value of a series; of a range vector, such as `up[5m]`, the last one."""
    name = format_labels(series.metric)
    sample = series.value or (series.values[-1] if series.values else None)
    if sample is not None:
        more = f" (last of {len(series.values)} samples)" if series.values else ""
        return Value(series=name, value=format_value(to_number(sample[1])) + more, time=format_time(sample[0]))
    histogram = series.histogram or (series.histograms[-1] if series.histograms else None)
    if histogram is None:
        return Value(series=name, value="no sample", time="")
    at, body = histogram
    return Value(
        series=name, value=f"histogram, count {body.get('count')}, sum {body.get('sum')}", time=format_time(at)
    )


async def query_range(arguments: RangeArguments, call: CallContext) -> ToolOutput[RangeAnswer]:
    end = parse_time(arguments.end, call)
    start, seconds = end - arguments.range_seconds, arguments.range_seconds
    wanted = arguments.step_seconds or math.ceil(seconds / DEFAULT_POINTS)
    step = max(wanted, math.ceil(seconds / MAX_POINTS))
    params = {"query": arguments.query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": str(step)}
    answer = await open_prometheus(call).ask("query_range", params | {"timeout": TIMEOUT}, models.QUERY_RANGE)
    found = answer.data.result
    notes = notes_of(answer) + _left_out(len(found), min(len(found), MAX_SERIES))
    if step > wanted:
        notes.append(f"the step is {step} s, not {wanted} s: a range has at most {MAX_POINTS} points")
    if histograms := sum(bool(each.histograms) for each in found):
        notes.append(f"{histograms} series are native histograms: histogram_quantile or histogram_count shows them")
    result = RangeAnswer(
        series=[
            summarize(format_labels(each.metric), each.values, with_points=number < MAX_SERIES_WITH_POINTS)
            for number, each in enumerate(found[:MAX_SERIES])
        ],
        total=len(found),
        start=format_time(start),
        end=format_time(end),
        step_seconds=step,
        notes=notes,
    )
    title = f"{result.start} to {result.end}, every {step} s: {len(found)} series"
    if not found:
        return ToolOutput("\n".join([f"{title}; nothing matches in this range.", *notes]), result)
    lines = [each.line() for each in result.series]
    return ToolOutput("\n".join([title, *notes, limit_lines(lines, TEXT_BYTES, "series", NARROW)]), result)


async def list_series(arguments: SeriesArguments, call: CallContext) -> ToolOutput[SeriesAnswer]:
    now = call.services.clock.now() / 1000
    params = {"match[]": arguments.match, "start": f"{now - arguments.range_seconds:.3f}", "end": f"{now:.3f}"}
    answer = await open_prometheus(call).ask("series", params, models.SERIES)
    total = len(answer.data)
    shown = [format_labels(each) for each in answer.data[:MAX_SERIES]]
    result = SeriesAnswer(series=shown, total=total, notes=notes_of(answer) + _left_out(total, len(shown)))
    if not total:
        return ToolOutput("\n".join([f"No series matches {arguments.match} in this time.", *result.notes]), result)
    lines = limit_lines(shown, TEXT_BYTES, "series", "select fewer")
    return ToolOutput("\n".join([f"{total} series", *result.notes, lines]), result)


def _left_out(total: int, shown: int) -> list[str]:
    return [f"{total - shown} of {total} series are not shown: {NARROW}"] if total > shown else []


QUERY = ReadTool(
    ToolInfo(
        "prometheus_query", "Query metrics", "Evaluates PromQL at one time: a value for each series.",
        tags=PROMETHEUS_TAGS,
    ),
    QueryArguments,
    query,
)  # fmt: skip
RANGE = ReadTool(
    ToolInfo(
        "prometheus_query_range",
        "Query metrics over time",
        "Evaluates PromQL over a time range: last, min, max, mean and trend of each series.",
        tags=PROMETHEUS_TAGS,
    ),
    RangeArguments,
    query_range,
)
SERIES = ReadTool(
    ToolInfo(
        "prometheus_series", "Find series", "Lists the series that a selector matches, with labels.",
        tags=PROMETHEUS_TAGS,
    ),
    SeriesArguments,
    list_series,
)  # fmt: skip
