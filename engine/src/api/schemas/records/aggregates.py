"""Results of aggregate queries."""

from dataclasses import dataclass

__all__ = ["AggregateRow"]


@dataclass(frozen=True, slots=True)
class AggregateRow:
    """One group of an aggregate query: its keys, its row count, and its sums."""

    by: tuple[str | int | None, ...]
    count: int
    sums: tuple[int, ...]
