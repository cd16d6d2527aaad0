"""Run a benchmark on a new database of each kind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.harness import Harness
from bench.results import Measurement

__all__ = ["on_postgres", "on_sqlite"]

Measure = Callable[[Harness, str, str, Mapping[str, Any]], Sequence[Measurement]]
"""Gets the database's name and URL, and the settings with which an engine uses it."""


def on_sqlite(harness: Harness, measure: Measure) -> Sequence[Measurement]:
    folder = harness.new_folder()
    return measure(harness, "SQLite", f"sqlite://{folder / 'skyflo.sqlite3'}", {"DATA_DIR": str(folder)})


def on_postgres(harness: Harness, measure: Measure) -> Sequence[Measurement]:
    url = harness.postgres.create_database()
    return measure(harness, "PostgreSQL", url, {"POSTGRES_DATABASE_URL": url})
