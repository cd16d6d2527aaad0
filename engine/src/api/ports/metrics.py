"""Measurements of the engine. They count what was committed, so a rolled-back or repeated body counts nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from src.api.schemas.query import Assign
from src.api.schemas.records import Record

__all__ = ["Metrics", "NoMetrics", "Operation", "RowChange", "ToolOutcome"]

Operation = Literal["read", "change", "preview"]
ToolOutcome = Literal["succeeded", "failed", "unknown", "cancelled"]


@dataclass(frozen=True, slots=True)
class RowChange:
    """A row as a committed transaction left it, and the values that its statement set; None for an inserted row."""

    row: Record
    values: Mapping[str, Assign] | None = None


class Metrics(Protocol):
    """Where measurements go. No method waits, raises or keeps what it is given."""

    def committed(self, changes: Sequence[RowChange]) -> None:
        """Count the rows that one transaction wrote. Called once, after its commit."""

    def tool_called(self, server: str, tool: str, operation: Operation, outcome: ToolOutcome, seconds: float) -> None:
        """Count one request to a tool server, and how long it took."""


class NoMetrics:
    """`Metrics` that measures nothing."""

    def committed(self, changes: Sequence[RowChange]) -> None:
        """Drop the changes."""

    def tool_called(self, server: str, tool: str, operation: Operation, outcome: ToolOutcome, seconds: float) -> None:
        """Drop the measurement."""
