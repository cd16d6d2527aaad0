"""Spans of requests, runs, model turns and tool calls. The tool server records its own with the same code."""

from skyflo_common.tracing import TRACE_PARENT, NoTracing, Span, Tracing

__all__ = ["TRACE_PARENT", "NoTracing", "Span", "Tracing"]
