"""Lists, timelines and search with 10,000 conversations, on each database."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from bench.client import Client
from bench.figures import Figure, middle
from bench.history import CONVERSATIONS, LONG, RARE, SEGMENTS, fill
from bench.processes import Process
from bench.stage import API, Stage

__all__ = ["lists_postgres", "lists_sqlite"]

ROUNDS = 40
_LIST = f"{API}/conversations"


def lists_sqlite(stage: Stage) -> Sequence[Figure]:
    folder = stage.new_folder()
    url = f"sqlite://{folder / 'skyflo.sqlite3'}"
    fill(url)
    return _measured(stage, "SQLite", url, {"DATA_DIR": str(folder)})


def lists_postgres(stage: Stage) -> Sequence[Figure]:
    url = stage.postgres.create_database()
    fill(url)
    return _measured(stage, "PostgreSQL", url, {"POSTGRES_DATABASE_URL": url})


def _measured(stage: Stage, database: str, url: str, settings: Mapping[str, Any]) -> Sequence[Figure]:
    engine, floor = stage.new_engine(**settings), stage.new_floor_of_lists(url)
    stage.warm(engine)
    _check(engine)
    asked = {
        f"list of {CONVERSATIONS:,} conversations": (_LIST, "/list", 15.0),
        f"list of {CONVERSATIONS:,} conversations, from its middle": (
            f"{_LIST}?cursor={_middle(engine)}",
            "/list",
            15.0,
        ),
        f"get with {SEGMENTS:,} segments": (f"{_LIST}/{LONG}", "/get", 30.0),
        "search for what 1 in 100 holds": (f"{_LIST}?query={quote(RARE)}", "/search", None),
        "search for what none holds": (f"{_LIST}?query=nowhere", "/search", None),
    }
    figures = [_one(f"{database}: {name}", engine, floor, *of) for name, of in asked.items()]
    engine.end()
    floor.end()
    return figures


def _one(name: str, engine: Process, floor: Process, path: str, bare: str, target: float | None) -> Figure:
    """The median of both, asked in turn on connections that are kept."""
    ours: list[float] = []
    theirs: list[float] = []
    cpu = 0.0
    with Client(engine.url) as us, Client(floor.url) as them:
        for _ in range(ROUNDS):
            before = engine.cpu()
            ours.append(us.get(path).seconds * 1000)
            cpu += engine.cpu() - before
            theirs.append(them.get(bare).seconds * 1000)
    note = f"{cpu * 1000 / ROUNDS:.1f} ms of CPU"
    return Figure(name, middle(ours[3:]), "ms", target=target, floor=middle(theirs[3:]), runs=ROUNDS - 3, note=note)


def _middle(engine: Process) -> str:
    """A cursor far down the list."""
    cursor = ""
    with Client(engine.url) as client:
        for _ in range(20):
            path = f"{_LIST}?limit=50{'&cursor=' if cursor else ''}{cursor}"
            cursor = str(client.get(path).whole()["pagination"]["next_cursor"])
    return cursor


def _check(engine: Process) -> None:
    """What is measured is what was meant."""
    with Client(engine.url) as client:
        segments = [
            one for entry in client.get(f"{_LIST}/{LONG}").whole()["messages"] for one in entry.get("segments", ())
        ]
        found = client.get(f"{_LIST}?query={RARE}").whole()["data"]
    if len(segments) != SEGMENTS or len(found) != 20:
        raise RuntimeError(f"{len(segments)} segments and {len(found)} conversations were found")
