"""Connect to a tool server over Streamable HTTP."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import httpx2
from mcp.client import Transport
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from src.api.adapters.tools.endpoint import Endpoint
from src.api.adapters.tools.transport import MAX_BODY, GuardedTransport

__all__ = ["HttpLink", "tls_context"]

_TIMEOUTS = httpx2.Timeout(connect=5, write=30, read=None, pool=5)
_KEPT = httpx2.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=30)
_SINGLE = httpx2.Limits(max_connections=200, max_keepalive_connections=0)


@cache
def tls_context() -> ssl.SSLContext:
    """Create one TLS context for all connections: reading the certificate store takes 60 ms of CPU each time."""
    return httpx2.create_ssl_context()


class HttpLink:
    """A `Link` to a server's URL. A failed request does not end it."""

    is_exclusive = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.lost = asyncio.Event()
        self._endpoint = endpoint
        self._guard = GuardedTransport(
            kept=httpx2.AsyncHTTPTransport(verify=tls_context(), limits=_KEPT),
            single=httpx2.AsyncHTTPTransport(verify=tls_context(), limits=_SINGLE),
        )

    @property
    def last_error(self) -> str | None:
        return self._guard.last_error

    def open(self) -> Transport:
        return self._open()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[TransportStreams]:
        http = httpx2.AsyncClient(
            transport=self._guard, headers=dict(self._endpoint.headers), timeout=_TIMEOUTS, trust_env=False
        )
        async with (
            http,
            streamable_http_client(self._endpoint.url, http_client=http, max_sse_event_size=MAX_BODY) as streams,
        ):
            yield streams
