"""Results as data and as a page."""

import json
import os
import platform
from collections.abc import Sequence

from bench.figures import Figure, Found

__all__ = ["as_page", "as_results"]

_INTRO = """# Performance

Written by `make bench`. Each figure is the median of its runs. The engine is a process as
`make up` starts it, on SQLite, with the in-process bus; the model is a scripted one over HTTP and the tool server one
whose tools do next to nothing, each in a process of its own. *Floor* is the same work done by the least code that could
do it, measured in the same run and in turn with ours: a bare Starlette application that passes the model's stream on by
httpx; for tools the model and the tool called directly; for the litellm adapter, LiteLLM alone behind Starlette; for
lists and timelines the rows themselves, read by one statement each and written as JSON; for what is on record the same
transaction without its entry in the audit trail.

CPU is the processor's time of the one process, by the operating system's account, and hardly depends on what else the
machine does. Seconds and milliseconds of a clock do: where the load (the machine's, as the benchmark began) was above
the number of cores, they are too long, in the floor's column as in ours.
"""


def as_results(founds: Sequence[Found], when: str) -> str:
    return json.dumps({"when": when, "machine": machine(), "results": [each.as_json() for each in founds]}, indent=1)


def as_page(founds: Sequence[Found]) -> str:
    facts, whens = machine(), [each.when for each in founds]
    lines = [
        _INTRO,
        f"{facts['cores']} cores, Python {facts['python']}. Measured from {min(whens)} to {max(whens)}.\n",
        "| | measured | target | floor | ours / floor | runs | load |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [_row(figure, found.load) for found in founds for figure in found.figures]
    notes = [figure for found in founds for figure in found.figures if figure.note]
    lines += ["", *(f"- {figure.name}: {figure.note}." for figure in notes)]
    lines += [f"- not measured: {found.benchmark}." for found in founds if found.missing]
    lines += [
        "- nothing here includes Kubernetes, Redis or, but where it is named, PostgreSQL: that depends on yours.",
        "",
    ]
    return "\n".join(lines)


def machine() -> dict[str, str | int]:
    return {
        "cores": os.cpu_count() or 0,
        "python": platform.python_version(),
        "system": platform.system(),
    }


def _row(figure: Figure, load: float) -> str:
    target = (
        "" if figure.target is None else f"{figure.target:g} {figure.unit}: {'met' if figure.met else '**missed**'}"
    )
    floor = "" if figure.floor is None else f"{_number(figure.floor)} {figure.unit}"
    ratio = "" if figure.ratio is None else f"{figure.ratio:.1f}"
    cells = (f"{_number(figure.value)} {figure.unit}", target, floor, ratio, f"{figure.runs}", f"{load:.1f}")
    return f"| {figure.name} | {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"
