"""Decide which requests may act as the local admin, and reject foreign web pages.

In local mode a request without credentials acts as the local admin, but only from this machine and not from a foreign
web page. Cookies count only on requests from our own pages (or `CORS_ORIGINS`). Only those may sign in, too: a foreign
page can post a form without CORS, and the response sets the cookie.
"""

from ipaddress import IPv6Address, ip_address

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from src.api.errors import Forbidden
from src.api.middleware.local_access import LOCAL_COOKIE, LocalAccess

__all__ = ["OriginGuard"]

FORM = "application/x-www-form-urlencoded"
SESSION_COOKIES = {"auth_token", "refresh_token", LOCAL_COOKIE}
_SAFE = {"GET", "HEAD", "OPTIONS"}


class OriginGuard:
    """Reject foreign pages with 403, and set `request.state.local` if the request may be the local admin's."""

    def __init__(self, app: ASGIApp, local_access: LocalAccess | None, allowed: tuple[str, ...]) -> None:
        self._app = app
        self._local_access = local_access
        self._allowed = allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            self._check(scope, headers)
            if self._local_access is not None and _from_this_machine(scope, headers):
                if self._local_access.asks_to_sign_in(scope):
                    await self._local_access.sign_in(scope, receive, send)
                    return
                self._admit(self._local_access, scope, headers)
        await self._app(scope, receive, send)

    def _admit(self, access: LocalAccess, scope: Scope, headers: Headers) -> None:
        state = scope.setdefault("state", {})
        state["local_key"] = access.has_key(headers)
        state["local"] = state["local_key"] or access.admits(scope, headers)
        state["other_account"] = not state["local"]

    def _check(self, scope: Scope, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or "authorization" in headers or self._is_ours(origin, headers.get("host", "")):
            return
        by_cookie = not SESSION_COOKIES.isdisjoint(cookie_parser(headers.get("cookie", "")))
        as_form = headers.get("content-type", "").lower().startswith(FORM)
        if self._local_access is not None or ((by_cookie or as_form) and scope["method"] not in _SAFE):
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
    """Return the host without its port; "" unless there is exactly one plain host."""
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
