"""Measure lists, timelines and search with 10,000 conversations on each database."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from bench.client import Client
from bench.databases import on_postgres, on_sqlite
from bench.harness import API, Harness
from bench.processes import Process
from bench.results import Measurement, median
from bench.sample_data import CONVERSATIONS, LONG, RARE, SEGMENTS, fill

__all__ = ["lists_postgres", "lists_sqlite"]

ROUNDS = 40
_LIST = f"{API}/conversations"


def lists_sqlite(harness: Harness) -> Sequence[Measurement]:
    return on_sqlite(harness, _measure)


def lists_postgres(harness: Harness) -> Sequence[Measurement]:
    return on_postgres(harness, _measure)


def _measure(harness: Harness, database: str, url: str, settings: Mapping[str, Any]) -> Sequence[Measurement]:
    fill(url)
    engine, floor = harness.new_engine(**settings), harness.new_lists_floor(url)
    harness.warm_up(engine)
    _check_data(engine)
    lists = {
        f"list of {CONVERSATIONS:,} conversations": (_LIST, "/list", 15.0),
        f"list of {CONVERSATIONS:,} conversations, starting in the middle": (
            f"{_LIST}?cursor={_middle_cursor(engine)}",
            "/list",
            15.0,
        ),
        f"timeline of {SEGMENTS:,} segments": (f"{_LIST}/{LONG}", "/get", 30.0),
        "search with 1 match in 100": (f"{_LIST}?query={quote(RARE)}", "/search", None),
        "search without a match": (f"{_LIST}?query=nowhere", "/search", None),
    }
    figures = [_measure_list(f"{database}: {name}", engine, floor, *of) for name, of in lists.items()]
    engine.end()
    floor.end()
    return figures


def _measure_list(
    name: str, engine: Process, floor: Process, path: str, floor_path: str, target: float | None
) -> Measurement:
    """Return the median of alternating requests on persistent connections."""
    engine_times: list[float] = []
    floor_times: list[float] = []
    cpu = 0.0
    with Client(engine.url) as engine_client, Client(floor.url) as floor_client:
        for _ in range(ROUNDS):
            before = engine.cpu_seconds()
            engine_times.append(engine_client.get(path).seconds * 1000)
            cpu += engine.cpu_seconds() - before
            floor_times.append(floor_client.get(floor_path).seconds * 1000)
    note = f"{cpu * 1000 / ROUNDS:.1f} ms of CPU"
    return Measurement(
        name, median(engine_times[3:]), "ms", target=target, floor=median(floor_times[3:]), runs=ROUNDS - 3, note=note
    )


def _middle_cursor(engine: Process) -> str:
    """Return the cursor of page 20."""
    cursor = ""
    with Client(engine.url) as client:
        for _ in range(20):
            path = f"{_LIST}?limit=50{'&cursor=' if cursor else ''}{cursor}"
            cursor = str(client.get(path).json()["pagination"]["next_cursor"])
    return cursor


def _check_data(engine: Process) -> None:
    """Check that the engine finds the inserted data. Raises `RuntimeError`."""
    with Client(engine.url) as client:
        segments = [
            one for entry in client.get(f"{_LIST}/{LONG}").json()["messages"] for one in entry.get("segments", ())
        ]
        found = client.get(f"{_LIST}?query={RARE}").json()["data"]
    if len(segments) != SEGMENTS or len(found) != 20:
        raise RuntimeError(f"{len(segments)} segments and {len(found)} conversations were found")
