"""Open the tracing of a process. OpenTelemetry's SDK is imported only with an endpoint."""

from pydantic import SecretStr

from skyflo_common.tracing import NoTracing, Tracing

__all__ = ["open_tracing"]


def open_tracing(service: str, version: str, endpoint: str | None, headers: SecretStr | None = None) -> Tracing:
    """Return tracing that exports to `endpoint` (OTLP over HTTP), or none without an endpoint.

    `headers` are sent with each export, as in OTEL_EXPORTER_OTLP_HEADERS: `name=value,name=value`.
    """
    if not endpoint:
        return NoTracing()
    from skyflo_common.tracing.otel import OtelTracing

    return OtelTracing(service, version, endpoint, headers.get_secret_value() if headers else "")
