"""Figures of use over a year with 100,000 runs, on each database, and how long others wait meanwhile."""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.client import Client
from bench.figures import Figure, middle
from bench.history import fill_with
from bench.processes import Process
from bench.stage import API, Stage
from src.api.schemas.record import Record
from src.api.schemas.records import Approval, Call, ModelCall, Run
from tests.support.rows import row

__all__ = ["year_postgres", "year_sqlite"]

RUNS = 100_000
"""Each calls the model twice and three tools; every other one asks for an approval."""

DAY = 86_400_000
BEGINS = 20_454 * DAY
"""2026-01-01."""

YEAR = "since=2026-01-01&until=2026-12-31"
ROUNDS = 5
_RUN, _MODEL, _CALL, _APPROVAL = row(Run), row(ModelCall), row(Call), row(Approval)


def year_sqlite(stage: Stage) -> Sequence[Figure]:
    folder = stage.new_folder()
    return _measured(stage, "SQLite", f"sqlite://{folder / 'skyflo.sqlite3'}", {"DATA_DIR": str(folder)})


def year_postgres(stage: Stage) -> Sequence[Figure]:
    url = stage.postgres.create_database()
    return _measured(stage, "PostgreSQL", url, {"POSTGRES_DATABASE_URL": url})


def _measured(stage: Stage, database: str, url: str, settings: Mapping[str, Any]) -> Sequence[Figure]:
    fill_with(url, _rows(random.Random(1)))
    engine = stage.new_engine(**settings)
    stage.warm(engine)
    figures = [
        _one(f"{database}: figures of a year with {RUNS:,} runs", engine, YEAR, 1.0),
        _one(f"{database}: figures of a month of it", engine, "since=2026-03-01&until=2026-03-31", None),
        Figure(f"{database}: slowest list of conversations beside a year's figures", _beside(engine.url), "ms"),
    ]
    engine.end()
    return figures


def _one(name: str, engine: Process, span: str, target: float | None) -> Figure:
    before = engine.cpu()
    with Client(engine.url) as client:
        took = [client.get(f"{API}/analytics/metrics?{span}").seconds for _ in range(ROUNDS)]
    note = f"{(engine.cpu() - before) / ROUNDS:.2f} s of CPU"
    return Figure(name, middle(took), "s", target=target, runs=ROUNDS, note=note)


def _beside(url: str) -> float:
    """The longest (ms) that a list of conversations takes, asked again and again while the figures are counted."""
    over, waited = threading.Event(), [0.0]

    def others() -> None:
        with Client(url) as client:
            while not over.is_set():
                waited.append(client.get(f"{API}/conversations").seconds * 1000)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        with Client(url) as client:
            client.get(f"{API}/analytics/metrics?{YEAR}")
    finally:
        over.set()
        thread.join()
    return max(waited)


def _rows(chance: random.Random) -> Iterator[Record]:
    """In the order of their time, as an engine writes them."""
    for number, at in enumerate(sorted(BEGINS + chance.randrange(365 * DAY) for _ in range(RUNS))):
        yield from _of_run(chance, number, at)


def _of_run(chance: random.Random, number: int, at: int) -> Iterator[Record]:
    of: dict[str, Any] = {"run_id": f"r{number}", "created_at": at}
    state = chance.choices(("completed", "failed", "stopped"), (90, 6, 4))[0]
    ended = at + int(chance.lognormvariate(9.5, 1.2))
    yield replace(_RUN, id=f"r{number}", conversation_id=f"c{number}", state=state, created_at=at, ended_at=ended)
    for n in range(2):
        spent: dict[str, Any] = {"prompt_tokens": chance.randrange(9_000), "completion_tokens": chance.randrange(900)}
        ttft, model = int(chance.lognormvariate(6.5, 0.8)), chance.choice(("one", "two", "three"))
        cost = None if chance.random() < 0.05 else chance.randrange(10**8)
        yield replace(_MODEL, id=f"m{number}.{n}", model=model, cost_nano=cost, ttft_ms=ttft, **spent, **of)
    for n in range(3):
        status = chance.choices(("completed", "error", "unknown", "denied"), (90, 5, 1, 4))[0]
        tool = chance.choice(("k8s_get", "k8s_logs", "k8s_scale", "k8s_apply", "k8s_restart"))
        yield replace(_CALL, id=f"k{number}.{n}", position=n, tool=tool, status=status, result=" " * 500, **of)
    if number % 2:
        decided = at + int(chance.lognormvariate(10, 1.5))
        yield replace(_APPROVAL, id=f"a{number}", status="consumed", decided_at=decided, **of)
