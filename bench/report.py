"""Format results as JSON and as a page of the documentation."""

import json
import os
import platform
import time
from collections.abc import Sequence
from functools import cache

from bench.results import BenchmarkResult, Measurement

__all__ = ["format_json", "format_page"]

_INTRO = """# Performance

`make bench` writes this page. Each figure is the median of its runs, unless a note says otherwise. The engine runs as a
process like `make up` starts it, on SQLite, with the in-process bus. The model is scripted and answers over HTTP; the
tools of the tool server do almost no work. Each of the two is a separate process. Rows that begin with *server mode*
have the engine on PostgreSQL and Redis, with people who are signed in. Their statements are counted between the engine
and PostgreSQL, from a request to what follows its last event.

*Floor* is the same work done by the least code that could do it, measured in the same run, alternating with the engine:

- model streams: a bare Starlette application that forwards the model's stream with httpx
- tool calls: the model and the tool called directly
- the litellm adapter: LiteLLM alone behind Starlette
- lists and timelines: the rows alone, read with one statement each and written as JSON
- writes with an audit entry: the same transaction without the entry

CPU is the processor time of one process, as the operating system counts it. It hardly depends on other load on the
machine. Durations do depend on it: where the load (the load average of the machine at the start of the benchmark) is
above the number of cores, they are too long, in the floor's column as well.
"""


def format_json(results: Sequence[BenchmarkResult], when: str) -> str:
    return json.dumps(
        {"when": when, "machine": describe_machine(), "results": [each.to_json() for each in results]}, indent=1
    )


def format_page(results: Sequence[BenchmarkResult]) -> str:
    machine, whens = describe_machine(), [each.when for each in results]
    python = (
        f"{machine['cores']} cores, Python {machine['python']} (2,500,000 numbers summed in {machine['sum_ms']} ms)"
    )
    lines = [
        _INTRO,
        f"{python}. Measured from {min(whens)} to {max(whens)}.\n",
        "| | measured | target | floor | ours / floor | runs | load |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_format_row(figure, result.load) for result in results for figure in result.figures]
    notes = [figure for result in results for figure in result.figures if figure.note]
    lines += ["", *(f"- {figure.name}: {figure.note}." for figure in notes)]
    lines += [f"- not measured: {result.benchmark}." for result in results if result.error]
    lines += [
        "- no figure includes Kubernetes, and only figures of server mode include Redis.",
        "",
    ]
    return "\n".join(lines)


def describe_machine() -> dict[str, str | int]:
    return {
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "system": platform.system(),
        "sum_ms": _sum_ms(),
    }


@cache
def _sum_ms() -> int:
    """Milliseconds of CPU for plain work, by which figures of two machines or builds of Python can be compared."""
    times = []
    for _ in range(3):
        began = time.process_time()
        sum(n * n % 7 for n in range(2_500_000))
        times.append(time.process_time() - began)
    return round(min(times) * 1000)


def _format_row(figure: Measurement, load: float) -> str:
    target = (
        "" if figure.target is None else f"{figure.target:g} {figure.unit}: {'met' if figure.is_met else '**missed**'}"
    )
    floor = "" if figure.floor is None else f"{_format_number(figure.floor)} {figure.unit}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.1f}"
    cells = (f"{_format_number(figure.value)} {figure.unit}", target, floor, ratio, f"{figure.runs}", f"{load:.1f}")
    return f"| {figure.name} | {' | '.join(cells)} |"


def _format_number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
