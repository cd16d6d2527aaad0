"""Who may speak without a token, and from which web pages.

In local mode a request without credentials acts as the local admin, but only one that comes from this very machine and
was not sent by a foreign web page. A cookie counts only on requests that our own pages (or `CORS_ORIGINS`) send, and
only those sign in: a form is what a foreign page may post without asking, and its answer sets the cookie.
"""

from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from src.api.errors import Forbidden

__all__ = ["OriginGuard"]

FORM = "application/x-www-form-urlencoded"
SESSION_COOKIES = {"auth_token", "refresh_token"}
_SAFE = {"GET", "HEAD", "OPTIONS"}


class OriginGuard:
    """Refuses foreign pages with 403 and leaves in `request.state.local` whether this may be the local admin."""

    def __init__(self, app: ASGIApp, local_mode: bool, allowed: tuple[str, ...]) -> None:
        self._app = app
        self._local_mode = local_mode
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check(scope, headers)
            scope.setdefault("state", {})["local"] = self._local_mode and _from_this_machine(scope, headers)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or "authorization" in headers or self._is_ours(origin, headers.get("host", "")):
            return
        by_cookie = not SESSION_COOKIES.isdisjoint(cookie_parser(headers.get("cookie", "")))
        as_form = headers.get("content-type", "").lower().startswith(FORM)
        if self._local_mode or ((by_cookie or as_form) and scope["method"] not in _SAFE):
            raise Forbidden(
                "This web page is not one of the engine's own. Add its origin to CORS_ORIGINS if it should be."
            )

    def _is_ours(self, origin: str, host: str) -> bool:
        return origin in self._allowed or origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")


def _from_this_machine(scope: Scope, headers: Headers) -> bool:
    client = scope.get("client")
    proxied = any(name == "forwarded" or name.startswith("x-forwarded-") for name in headers)
    return (
        client is not None and not proxied and _is_loopback(client[0]) and _is_loopback(_host(headers.getlist("host")))
    )


def _host(values: list[str]) -> str:
    """The host without its port; nothing if there isn't exactly one, or it is more than a host."""
    if len(values) != 1 or not values[0].isprintable() or any(mark in values[0] for mark in "@/?#\\ "):
        return ""
    host, bracket, _ = values[0].removeprefix("[").partition("]")
    return host if bracket else host.partition(":")[0]


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
