"""`python -m bench [--only NAME ...]`: measures, prints, and writes bench/results.json and docs/performance.md.

Everything ends within its bound, and no process outlives the run.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.audit import audit_postgres, audit_sqlite
from bench.beside import large_bodies, logins
from bench.figures import Figure, Found, found
from bench.first_minute import command, sandbox
from bench.lists import lists_postgres, lists_sqlite
from bench.litellm import litellm
from bench.memory import memory
from bench.report import as_page, as_results
from bench.stage import Stage
from bench.starting import imports, start, tool_server
from bench.streaming import first_token, followers, tokens
from bench.turns import approval, five_reads, read_turn
from bench.year import year_postgres, year_sqlite

Benchmark = Callable[[Stage], Sequence[Figure]]

BENCHMARKS: Mapping[str, Benchmark] = {
    "start": start,
    "imports": imports,
    "tool-server": tool_server,
    "first-token": first_token,
    "tokens": tokens,
    "followers": followers,
    "read-turn": read_turn,
    "five-reads": five_reads,
    "approval": approval,
    "lists-sqlite": lists_sqlite,
    "lists-postgres": lists_postgres,
    "audit-sqlite": audit_sqlite,
    "audit-postgres": audit_postgres,
    "year-sqlite": year_sqlite,
    "year-postgres": year_postgres,
    "logins": logins,
    "large-bodies": large_bodies,
    "memory": memory,
    "litellm": litellm,
    "command": command,
    "sandbox": sandbox,
}
WHOLE_RUN = 600
"""Seconds. A benchmark for which there is no time left says so."""

ONE_BENCHMARK = 100
ROOT = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description="Measures the engine beside floors.")
    parser.add_argument(
        "--only", action="append", choices=BENCHMARKS, help="just this one, the others stay as they were"
    )
    parser.add_argument("--look", action="store_true", help="write no files")
    options = parser.parse_args()
    chosen = options.only or list(BENCHMARKS)
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGALRM, _late)
    ends = time.monotonic() + WHOLE_RUN
    with Stage() as stage:
        founds = [_measured(name, stage, ends) for name in chosen]
    if not options.look:
        _write(founds)
    return 1 if any(each.missing for each in founds) else 0


def _write(founds: Sequence[Found]) -> None:
    """What was measured now, and of the others what was measured last."""
    file = ROOT / "bench" / "results.json"
    before = json.loads(file.read_text())
    known = {one["benchmark"]: Found.of_json(one, before["when"]) for one in before["results"]}
    known |= {one.benchmark: one for one in founds if not one.missing}
    kept = [known[name] for name in BENCHMARKS if name in known]
    when = max(one.when for one in kept)
    file.write_text(as_results(kept, when) + "\n")
    (ROOT / "docs" / "performance.md").write_text(as_page(kept))


def _measured(name: str, stage: Stage, ends: float) -> Found:
    began = time.monotonic()
    signal.alarm(max(1, min(ONE_BENCHMARK, int(ends - began))))
    result = found(name, lambda: BENCHMARKS[name](stage))
    signal.alarm(0)
    sys.stdout.write(f"{name} ({time.monotonic() - began:.0f} s, load {result.load:.1f}) {result.missing}\n")
    for figure in result.figures:
        sys.stdout.write(f"  {_line(figure)}\n")
    sys.stdout.flush()
    return result


def _line(figure: Figure) -> str:
    parts = [f"{figure.name}: {figure.value:.4g} {figure.unit}"]
    if figure.target is not None:
        parts.append(f"(target {figure.target:g}: {'met' if figure.met else 'MISSED'})")
    if figure.floor:
        parts.append(f"floor {figure.floor:.4g}, ratio {figure.ratio:.2f}")
    return " ".join([*parts, figure.note])


def _end(number: int, _frame: object) -> None:
    raise SystemExit(f"ended by {signal.Signals(number).name}; nothing was written")


def _late(_number: int, _frame: object) -> None:
    raise TimeoutError("there was no time left for it")


if __name__ == "__main__":
    sys.exit(main())
