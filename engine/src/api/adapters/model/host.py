"""Reach a model's host over HTTP: its URL, credentials, proxy and TLS."""

import asyncio
import os
import ssl
from functools import cache
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi

from src.api.errors import ModelRefused

__all__ = ["ModelHost", "tls_context"]

KEEPALIVE_SECONDS = 5.0
"""How long an idle connection is kept: many servers close theirs after that time."""

LOOP_PASSES = 3
"""Passes of the event loop before a request, in which it sees that a kept connection was closed.

aiohttp takes a kept connection without a look at its socket; a request that it sends on a closed one is lost.
"""


@cache
def tls_context() -> ssl.SSLContext:
    """Create one TLS context per process: reading the certificate store takes 60 ms of CPU each time.

    `SSL_CERT_FILE` and `SSL_CERT_DIR` replace certifi's certificates, as they do for the `ssl` module.
    """
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    if not file and not folder:
        file = certifi.where()
    context = ssl.create_default_context(cafile=file or None, capath=folder or None)
    context.set_alpn_protocols(["http/1.1"])
    return context


class ModelHost:
    """Posts requests to `/chat/completions` below a base URL. `name` is the host with its port."""

    def __init__(self, base_url: str, api_key: str | None, connect_seconds: float) -> None:
        """User and password in the URL are sent instead of the key."""
        parts = urlsplit(base_url.rstrip("/") + "/chat/completions")
        credentials, _, self.name = parts.netloc.rpartition("@")
        self._url = parts._replace(netloc=self.name).geturl()
        self._proxy = _find_proxy(parts.scheme, parts.hostname)
        self._headers = {
            "content-type": "application/json",
            "accept": "text/event-stream",
            "accept-encoding": "identity",
        }
        if credentials:
            user, _, password = credentials.partition(":")
            self._headers["authorization"] = aiohttp.encode_basic_auth(unquote(user), unquote(password), "utf-8")
        elif api_key:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._connect_seconds = connect_seconds
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes) -> aiohttp.ClientResponse:
        """Send the body once and return the response, whatever its status, once its headers are there.

        Raises `ModelRefused` for a proxy that is not reached over HTTP, and what aiohttp raises.
        """
        if self._proxy is not None and not self._proxy.startswith(("http://", "https://")):
            kind = self._proxy.partition("://")[0]
            raise ModelRefused(f"Models are reached over HTTP proxies only, and the environment names a {kind} proxy.")
        if self._session is None:  # a session belongs to the event loop that runs when it is created
            self._session = self._open_session()
        for _ in range(LOOP_PASSES):
            await asyncio.sleep(0)
        return await self._session.post(self._url, data=body, proxy=self._proxy, allow_redirects=False)

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _open_session(self) -> aiohttp.ClientSession:
        """Open a session that keeps no cookies and limits nothing but the time to connect."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=tls_context(), keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_seconds),
        )


def _find_proxy(scheme: str, host: str | None) -> str | None:
    """Return the proxy that `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` name, unless `NO_PROXY` lists the host."""
    proxies = getproxies()
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or host is None or proxy_bypass(host):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"
