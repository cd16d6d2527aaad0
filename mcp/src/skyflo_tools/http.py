"""What the clients of the API server, Prometheus and Jenkins share about HTTP."""

import ssl
from functools import cache

import httpx2

__all__ = ["NoAuth", "read_bounded", "tls_context"]


@cache
def tls_context() -> ssl.SSLContext:
    """Create one TLS context for all connections: reading the certificate store takes 20 to 60 ms of CPU each time.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` replace the certificates of the operating system.
    """
    return httpx2.create_ssl_context()


class NoAuth(httpx2.Auth):
    """Keeps httpx from reading credentials from ~/.netrc."""


async def read_bounded(response: httpx2.Response, limit: int) -> bytes | None:
    """Return the body, or None as soon as it is longer than `limit` bytes."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > limit:
            return None
        chunks.append(chunk)
    return b"".join(chunks)
