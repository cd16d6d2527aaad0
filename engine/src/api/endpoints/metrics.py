"""`GET /metrics` for Prometheus, on a listener of its own (`METRICS_ADDRESS`)."""

import hmac
from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

__all__ = ["Scrape", "create_metrics_application"]

Scrape = Callable[[str], Awaitable[tuple[bytes, str]]]
"""Returns the metrics in the format that an Accept header asks for, and their content type."""


def create_metrics_application(scrape: Scrape, token: str | None) -> Starlette:
    """Create the ASGI application of the listener. With a token, each request must carry it as a bearer token."""

    async def metrics(request: Request) -> Response:
        if token is not None and not _carries(request, token):
            return PlainTextResponse(
                "Send METRICS_TOKEN as a bearer token.\n", 401, headers={"WWW-Authenticate": "Bearer"}
            )
        body, content_type = await scrape(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type, "cache-control": "no-store"})

    return Starlette(routes=[Route("/metrics", metrics, methods=["GET"])])


def _carries(request: Request, token: str) -> bool:
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(sent.strip().encode(), token.encode())
