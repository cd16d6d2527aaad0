"""Trace what a process does, without importing OpenTelemetry's SDK unless an exporter is configured.

Spans hold names, states and numbers. They never hold what users, models or tools said, nor the text of an error.
"""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol

__all__ = ["TRACE_PARENT", "Attributes", "NoTracing", "Span", "SpanKind", "Tracing"]

TRACE_PARENT = "traceparent"
"""The header, and the key of an MCP request's `_meta`, that holds a parent span (W3C Trace Context)."""

Attributes = Mapping[str, str | int | float | bool | tuple[str, ...]]
SpanKind = Literal["internal", "server", "client"]


class Span(Protocol):
    """A span that is open."""

    def rename(self, name: str) -> None: ...

    def set(self, attributes: Attributes) -> None: ...

    def fail(self, kind: str) -> None:
        """Mark the span as failed. `kind` is a fixed name such as an error's code, never a message."""


class Tracing(Protocol):
    """Where spans go. No method waits, and an exporter that is down is not noticed."""

    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: SpanKind = "internal",
        parent: str | None = None,
    ) -> AbstractContextManager[Span]:
        """Open a span until the block ends. It is the current one in the block, and in tasks that the block starts.

        `parent` is a `traceparent`; None means the current span, and an empty or invalid one a new trace. An error that
        leaves the block is recorded by its type.
        """

    def trace_parent(self) -> str:
        """Return the `traceparent` of the current span, or an empty string."""

    def close(self) -> None:
        """Export what is left, for a few seconds at most. May block: call it in a thread."""


class _NoSpan:
    def rename(self, name: str) -> None:
        """Do nothing."""

    def set(self, attributes: Attributes) -> None:
        """Do nothing."""

    def fail(self, kind: str) -> None:
        """Do nothing."""


class NoTracing:
    """`Tracing` that records nothing."""

    _span = _NoSpan()

    @contextmanager
    def span(
        self,
        name: str,  # noqa: ARG002 - the protocol's names
        attributes: Attributes | None = None,  # noqa: ARG002
        *,
        kind: SpanKind = "internal",  # noqa: ARG002
        parent: str | None = None,  # noqa: ARG002
    ) -> Iterator[Span]:
        yield self._span

    def trace_parent(self) -> str:
        return ""

    def close(self) -> None:
        """Do nothing."""
