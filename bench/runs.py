"""Measure a person's list of runs, of 100,000 in the database."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.client import Client
from bench.databases import on_postgres, on_sqlite
from bench.harness import API, Harness
from bench.results import Measurement, median
from bench.sample_data import FIRST_CREATED_AT, insert_rows
from src.api.schemas.records import Run
from tests.support.rows import row

__all__ = ["runs_postgres", "runs_sqlite"]

RUNS = 100_000
ROUNDS = 40


def runs_sqlite(harness: Harness) -> Sequence[Measurement]:
    return on_sqlite(harness, _measure)


def runs_postgres(harness: Harness) -> Sequence[Measurement]:
    return on_postgres(harness, _measure)


def _measure(harness: Harness, database: str, url: str, settings: Mapping[str, Any]) -> Sequence[Measurement]:
    insert_rows(url, _rows())
    engine = harness.new_engine(**settings)
    harness.warm_up(engine)
    with Client(engine.url) as client:
        before = engine.cpu_seconds()
        times = [client.get(f"{API}/agent/runs").seconds * 1000 for _ in range(ROUNDS)]
        cpu = (engine.cpu_seconds() - before) * 1000 / ROUNDS
        floor = [client.get(f"{API}/health").seconds * 1000 for _ in range(ROUNDS)]
    engine.end()
    name = f"{database}: list of {RUNS:,} runs"
    note = f"the floor is a health check of the same engine; {cpu:.1f} ms of CPU"
    return (Measurement(name, median(times), "ms", floor=median(floor), runs=ROUNDS, note=note),)


def _rows() -> Iterator[Run]:
    """Yield completed runs: half of them by the person who lists them."""
    common = replace(row(Run), state="completed", fence=1, rest_seq=1, journal=1, usage="{}")
    for number in range(RUNS):
        at = FIRST_CREATED_AT + number * 1_000
        user = "local" if number % 2 else "somebody"
        own = replace(common, id=f"r{number:06}", conversation_id=f"c{number:06}", user_id=user)
        yield replace(own, created_at=at, started_at=at, updated_at=at, ended_at=at)
