"""Run benchmarks, print their results, and write bench/results.json and docs/performance.md.

`python -m bench [--only NAME ...]`. Each benchmark has a time limit, and no process outlives the run. With
`--against CHECKOUT`, each one also measures the engine of that checkout, and its figures are printed next to these.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.agent_turn import approval, five_reads, read_turn
from bench.analytics import year_postgres, year_sqlite
from bench.audit import audit_postgres, audit_sqlite
from bench.compare import large_bodies, logins
from bench.first_run import command, sandbox
from bench.harness import Harness
from bench.health import health
from bench.lists import lists_postgres, lists_sqlite
from bench.litellm import litellm
from bench.memory import memory
from bench.processes import ROOT
from bench.report import format_json, format_page
from bench.results import BenchmarkResult, Measurement, median, run_benchmark
from bench.runs import runs_postgres, runs_sqlite
from bench.server import server_first_token, server_statements, server_streams_100, server_streams_200, server_turns
from bench.server_load import server_admission, server_processes
from bench.soak_report import format_last_soak, replace_section
from bench.startup import imports, start, tool_server
from bench.streaming import first_token, followers, tokens
from bench.tool_call import tool_call

Benchmark = Callable[[Harness], Sequence[Measurement]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "start": start,
    "imports": imports,
    "tool-server": tool_server,
    "first-token": first_token,
    "tokens": tokens,
    "followers": followers,
    "tool-call": tool_call,
    "read-turn": read_turn,
    "five-reads": five_reads,
    "approval": approval,
    "server-statements": server_statements,
    "server-first-token": server_first_token,
    "server-turns": server_turns,
    "server-streams-100": server_streams_100,
    "server-streams-200": server_streams_200,
    "server-processes": server_processes,
    "server-admission": server_admission,
    "lists-sqlite": lists_sqlite,
    "lists-postgres": lists_postgres,
    "runs-sqlite": runs_sqlite,
    "runs-postgres": runs_postgres,
    "audit-sqlite": audit_sqlite,
    "audit-postgres": audit_postgres,
    "year-sqlite": year_sqlite,
    "year-postgres": year_postgres,
    "logins": logins,
    "large-bodies": large_bodies,
    "health": health,
    "memory": memory,
    "litellm": litellm,
    "command": command,
    "sandbox": sandbox,
}
MAX_RUN_SECONDS = 600
"""Seconds for the whole run. A benchmark without time left is reported as not measured."""

MAX_BENCHMARK_SECONDS = 100


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Compare the engine with floors.")
    parser.add_argument(
        "--only",
        action="append",
        choices=BENCHMARKS,
        help="run only this benchmark (repeatable); the others keep their results",
    )
    parser.add_argument("--look", action="store_true", help="print the results without writing files")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="CHECKOUT",
        help="measure the engine of another checkout too, after `make env` there; writes no files",
    )
    options = parser.parse_args()
    chosen = options.only or list(BENCHMARKS)
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGALRM, _time_out)
    if options.against is not None:
        return _compare(chosen, options.against.resolve())
    deadline = time.monotonic() + MAX_RUN_SECONDS
    with Harness() as harness:
        results = [_run(name, harness, deadline) for name in chosen]
    if not options.look:
        _write(results)
    return 1 if any(each.error for each in results) else 0


def _compare(chosen: Sequence[str], checkout: Path) -> int:
    """Run each benchmark four times: with the other engine, with this one twice, and with the other again."""
    failed = False
    with Harness() as ours, Harness(checkout) as theirs:
        for name in chosen:
            runs: dict[Harness, list[BenchmarkResult]] = {ours: [], theirs: []}
            for harness in (theirs, ours, ours, theirs):
                runs[harness].append(_run(name, harness, time.monotonic() + MAX_BENCHMARK_SECONDS))
            failed |= any(result.error for result in [*runs[ours], *runs[theirs]])
            here, there = _median_figures(runs[ours]), _median_figures(runs[theirs])
            for figure in (each for each in here if each in there):
                ratio = f"ratio {here[figure] / there[figure]:.2f}" if there[figure] else ""
                sys.stdout.write(f"= {figure}: {here[figure]:.4g}, there {there[figure]:.4g} {ratio}\n")
            sys.stdout.flush()
    return 1 if failed else 0


def _median_figures(results: Sequence[BenchmarkResult]) -> Mapping[str, float]:
    values: dict[str, list[float]] = {}
    for result in results:
        for figure in result.figures:
            values.setdefault(f"{figure.name} ({figure.unit})", []).append(figure.value)
    return {name: median(of) for name, of in values.items()}


def _write(results: Sequence[BenchmarkResult]) -> None:
    """Write the new results, and keep the last ones of benchmarks that did not run."""
    file = ROOT / "bench" / "results.json"
    recorded_file = json.loads(file.read_text())
    recorded = {
        each["benchmark"]: BenchmarkResult.from_json(each, recorded_file["when"]) for each in recorded_file["results"]
    }
    recorded |= {each.benchmark: each for each in results if not each.error}
    merged = [recorded[name] for name in BENCHMARKS if name in recorded]
    when = max(each.when for each in merged)
    file.write_text(format_json(merged, when) + "\n")
    page = format_page(merged)
    soak = format_last_soak()
    (ROOT / "docs" / "performance.md").write_text(replace_section(page, soak) if soak else page)


def _run(name: str, harness: Harness, deadline: float) -> BenchmarkResult:
    began = time.monotonic()
    signal.alarm(max(1, min(MAX_BENCHMARK_SECONDS, int(deadline - began))))
    result = run_benchmark(name, lambda: BENCHMARKS[name](harness))
    signal.alarm(0)
    sys.stdout.write(f"{name} ({time.monotonic() - began:.0f} s, load {result.load:.1f}) {result.error}\n")
    for figure in result.figures:
        sys.stdout.write(f"  {_format_line(figure)}\n")
    sys.stdout.flush()
    return result


def _format_line(figure: Measurement) -> str:
    parts = [f"{figure.name}: {figure.value:.4g} {figure.unit}"]
    if figure.target is not None:
        parts.append(f"(target {figure.target:g}: {'met' if figure.is_met else 'MISSED'})")
    if figure.floor:
        parts.append(f"floor {figure.floor:.4g}, ratio {figure.ratio:.2f}")
    return " ".join([*parts, figure.note])


def _terminate(number: int, _frame: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}; no results were written")


def _time_out(_number: int, _frame: object) -> None:
    raise TimeoutError("the time limit was reached")


if __name__ == "__main__":
    sys.exit(main())
