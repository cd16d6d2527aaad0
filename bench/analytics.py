"""Measure usage figures over a year with 100,000 runs on each database, and the delay of other requests meanwhile."""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.client import Client
from bench.databases import on_postgres, on_sqlite
from bench.harness import API, Harness
from bench.processes import Process
from bench.results import Measurement, median
from bench.sample_data import insert_rows
from src.api.schemas.records import Approval, Call, ModelCall, Record, Run
from tests.support.rows import row

__all__ = ["year_postgres", "year_sqlite"]

RUNS = 100_000
"""Each run calls the model twice and three tools; every second one requests an approval."""

DAY = 86_400_000
YEAR_START = 20_454 * DAY
"""2026-01-01."""

WHOLE_YEAR = "since=2026-01-01&until=2026-12-31"
ROUNDS = 5
_RUN, _MODEL, _CALL, _APPROVAL = row(Run), row(ModelCall), row(Call), row(Approval)


def year_sqlite(harness: Harness) -> Sequence[Measurement]:
    return on_sqlite(harness, _measure)


def year_postgres(harness: Harness) -> Sequence[Measurement]:
    return on_postgres(harness, _measure)


def _measure(harness: Harness, database: str, url: str, settings: Mapping[str, Any]) -> Sequence[Measurement]:
    insert_rows(url, _rows(random.Random(1)))
    engine = harness.new_engine(**settings)
    harness.warm_up(engine)
    figures = [
        _measure_query(f"{database}: usage figures of one year with {RUNS:,} runs", engine, WHOLE_YEAR, 1.0),
        _measure_query(
            f"{database}: usage figures of one month of that year", engine, "since=2026-03-01&until=2026-03-31", None
        ),
        Measurement(
            f"{database}: slowest list of conversations during a query over one year", _slowest_list(engine.url), "ms"
        ),
    ]
    engine.end()
    return figures


def _measure_query(name: str, engine: Process, span: str, target: float | None) -> Measurement:
    before = engine.cpu_seconds()
    with Client(engine.url) as client:
        query_times = [client.get(f"{API}/analytics/metrics?{span}").seconds for _ in range(ROUNDS)]
    note = f"{(engine.cpu_seconds() - before) / ROUNDS:.2f} s of CPU"
    return Measurement(name, median(query_times), "s", target=target, runs=ROUNDS, note=note)


def _slowest_list(url: str) -> float:
    """Return the longest duration (ms) of a list request while the usage figures are computed."""
    finished, durations = threading.Event(), [0.0]

    def list_repeatedly() -> None:
        with Client(url) as client:
            while not finished.is_set():
                durations.append(client.get(f"{API}/conversations").seconds * 1000)

    thread = threading.Thread(target=list_repeatedly)
    thread.start()
    try:
        with Client(url) as client:
            client.get(f"{API}/analytics/metrics?{WHOLE_YEAR}")
    finally:
        finished.set()
        thread.join()
    return max(durations)


def _rows(randomness: random.Random) -> Iterator[Record]:
    """Yield rows in order of time, as an engine inserts them."""
    for number, at in enumerate(sorted(YEAR_START + randomness.randrange(365 * DAY) for _ in range(RUNS))):
        yield from _run_rows(randomness, number, at)


def _run_rows(randomness: random.Random, number: int, at: int) -> Iterator[Record]:
    common: dict[str, Any] = {"run_id": f"r{number}", "created_at": at}
    state = randomness.choices(("completed", "failed", "stopped"), (90, 6, 4))[0]
    ended = at + int(randomness.lognormvariate(9.5, 1.2))
    yield replace(_RUN, id=f"r{number}", conversation_id=f"c{number}", state=state, created_at=at, ended_at=ended)
    for n in range(2):
        spent: dict[str, Any] = {
            "prompt_tokens": randomness.randrange(9_000),
            "completion_tokens": randomness.randrange(900),
        }
        ttft, model = int(randomness.lognormvariate(6.5, 0.8)), randomness.choice(("one", "two", "three"))
        cost = None if randomness.random() < 0.05 else randomness.randrange(10**8)
        yield replace(_MODEL, id=f"m{number}.{n}", model=model, cost_nano=cost, ttft_ms=ttft, **spent, **common)
    for n in range(3):
        status = randomness.choices(("completed", "error", "unknown", "denied"), (90, 5, 1, 4))[0]
        tool = randomness.choice(("k8s_get", "k8s_logs", "k8s_scale", "k8s_apply", "k8s_restart"))
        yield replace(_CALL, id=f"k{number}.{n}", position=n, tool=tool, status=status, result=" " * 500, **common)
    if number % 2:
        decided = at + int(randomness.lognormvariate(10, 1.5))
        yield replace(_APPROVAL, id=f"a{number}", status="consumed", decided_at=decided, **common)
