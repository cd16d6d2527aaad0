"""Implement `Tracing` with OpenTelemetry's SDK. Import it only when an exporter is configured.

The provider is not registered globally: the MCP and model libraries would send spans of their own, which quote the text
of errors.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.re import parse_env_headers

from skyflo_common.logs import log_context
from skyflo_common.tracing import TRACE_PARENT, Attributes, Span, SpanKind
from skyflo_common.tracing.conventions import SCHEMA_URL

__all__ = ["OtelTracing"]

EXPORT_SECONDS = 5.0
CLOSE_SECONDS = 3.0
MAX_VALUE = 1_024
"""Characters of an attribute."""

_KINDS = {"internal": trace.SpanKind.INTERNAL, "server": trace.SpanKind.SERVER, "client": trace.SpanKind.CLIENT}


class _OtelSpan:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(trace.StatusCode.ERROR)


class OtelTracing:
    """Export spans in the background, from a bounded queue. What does not fit, or can't be sent, is dropped."""

    def __init__(self, service: str, version: str, endpoint: str, headers: str) -> None:
        exporter = OTLPSpanExporter(
            endpoint=f"{endpoint.rstrip('/')}/v1/traces",
            headers=parse_env_headers(headers, liberal=True),
            timeout=EXPORT_SECONDS,
        )
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service, "service.version": version}),
            span_limits=SpanLimits(max_attribute_length=MAX_VALUE),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("skyflo", version, schema_url=SCHEMA_URL)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(
        self,
        name: str,
        attributes: Attributes | None = None,
        *,
        kind: SpanKind = "internal",
        parent: str | None = None,
    ) -> Iterator[Span]:
        context = None if parent is None else self._propagator.extract({TRACE_PARENT: parent}, Context())
        with self._tracer.start_as_current_span(
            name,
            context=context,
            kind=_KINDS[kind],
            attributes=attributes,
            record_exception=False,
            set_status_on_exception=False,
        ) as opened:
            span = _OtelSpan(opened)
            with log_context(trace_id=trace.format_trace_id(opened.get_span_context().trace_id)):
                try:
                    yield span
                except Exception as error:
                    span.fail(type(error).__name__)
                    raise

    def trace_parent(self) -> str:
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        return carrier.get(TRACE_PARENT, "")

    def close(self) -> None:
        """Export what is left. A receiver that hangs holds the process no longer than `CLOSE_SECONDS`."""
        closing = threading.Thread(target=self._provider.shutdown, name="close-tracing", daemon=True)
        closing.start()
        closing.join(CLOSE_SECONDS)
