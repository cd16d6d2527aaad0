"""Open the metrics and traces that the settings ask for. Their libraries are imported only then."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import uvicorn

from skyflo_common.tracing.opening import open_tracing
from src.api.agent.policy_facts import OWN_SERVER
from src.api.config.settings import Settings, SettingsError
from src.api.config.telemetry import parse_address
from src.api.ports import Clock, NoMetrics, NoTracing, Store, ToolServer, Tracing

if TYPE_CHECKING:
    from src.api.adapters.metrics.prometheus import PrometheusMetrics

__all__ = ["create_metrics", "create_tracing", "observe_tools", "serve_metrics"]

MAX_SCRAPES = 8
"""Scrapes at the same time; further ones are refused."""


def create_metrics(
    settings: Settings, open_streams: Mapping[str, Callable[[], int]], executing: Callable[[], int]
) -> PrometheusMetrics | None:
    """Return the metrics of this engine, or None without `METRICS_ADDRESS`."""
    if settings.metrics_address is None:
        return None
    from src.api.adapters.metrics.prometheus import PrometheusMetrics

    return PrometheusMetrics(settings.app_version, OWN_SERVER, open_streams, executing, settings.engine_role)


def create_tracing(settings: Settings) -> Tracing:
    """Return the tracing of this process, which records nothing without `OTEL_EXPORTER_OTLP_ENDPOINT`."""
    endpoint, headers = settings.otel_exporter_otlp_endpoint, settings.otel_exporter_otlp_headers
    return open_tracing("skyflo-engine", settings.app_version, endpoint, headers)


def observe_tools(tools: ToolServer, metrics: PrometheusMetrics | None, tracing: Tracing, clock: Clock) -> ToolServer:
    """Return the tool servers, measured and traced if anything of that is on."""
    if metrics is None and isinstance(tracing, NoTracing):
        return tools
    from src.api.adapters.observed_tools import ObservedToolServer

    return ObservedToolServer(tools, metrics or NoMetrics(), tracing, clock)


@asynccontextmanager
async def serve_metrics(
    settings: Settings, metrics: PrometheusMetrics | None, store: Store, clock: Clock
) -> AsyncIterator[int | None]:
    """Serve `/metrics` while the block is open, and yield its port; None without `METRICS_ADDRESS`.

    Raises `SettingsError` if the address is taken.
    """
    if settings.metrics_address is None or metrics is None:
        yield None
        return
    from src.api.adapters.metrics.loop_lag import LoopLagSampler
    from src.api.endpoints.metrics import create_metrics_application
    from src.api.services.shared_state import SharedStateReader

    shared = SharedStateReader(store, clock)

    async def scrape(accept: str) -> tuple[bytes, str]:
        return metrics.render(await shared.read(), accept)

    token = None if settings.metrics_token is None else settings.metrics_token.get_secret_value()
    application = create_metrics_application(scrape, token)
    config = uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=MAX_SCRAPES,
        timeout_graceful_shutdown=1,
    )
    with _bind(settings.metrics_address) as listener, LoopLagSampler(metrics.loop_was_late):
        server = _InnerServer(config)
        serving = asyncio.create_task(server.serve([listener]), name="metrics")
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await asyncio.wait([serving])


class _InnerServer(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to the engine's own server."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _bind(address: str) -> Iterator[socket.socket]:
    host, port = parse_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            problem = f"METRICS_ADDRESS: {address} can't be used ({error.strerror}); name a free port of this machine"
            raise SettingsError([problem]) from error
        yield listener
