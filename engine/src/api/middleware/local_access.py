"""Decide which requests in local mode may act as the local admin: those of the engine's own account, or with its key.

Other accounts of a machine reach its loopback too. Where the system reports who holds a connection (Linux), they need
the key that the engine prints at its start. A browser opens `/?key=...` once and then sends a cookie.
"""

import hashlib
import hmac
import os
from collections.abc import Callable
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import Receive, Scope, Send

from src.api.utils.peer_owner import PeerOwner, find_peer_owner

__all__ = ["LOCAL_COOKIE", "LocalAccess"]

LOCAL_COOKIE = "local_key"
ROOT = 0
FindOwner = Callable[[tuple[str, int], tuple[str, int]], PeerOwner]


class LocalAccess:
    """Check requests whose peer and host are loopback. `api` is the base path of the API."""

    def __init__(self, key: str, api: str, find_owner: FindOwner = find_peer_owner) -> None:
        self._key = key
        self._api = api
        self._find_owner = find_owner
        self._trusted = {os.geteuid(), ROOT}

    def has_key(self, headers: Headers) -> bool:
        """Whether the request sends the key as its bearer token."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and self._is_key(token.strip())

    def admits(self, scope: Scope, headers: Headers) -> bool:
        """Whether the request comes from the engine's account, or its browser was signed in with the key.

        Where the system does not tell whose connection it is, every account is admitted.
        """
        owner = self._owner(scope)
        if owner == "unknown" or owner in self._trusted:
            return True
        sent = cookie_parser(headers.get("cookie", "")).get(LOCAL_COOKIE, "")
        return owner != "gone" and hmac.compare_digest(sent.encode(), self._cookie(owner).encode())

    def asks_to_sign_in(self, scope: Scope) -> bool:
        """Whether this is a page's address with the right key."""
        if scope["method"] != "GET" or scope["path"].startswith(f"{self._api}/"):
            return False
        query = parse_qs(scope["query_string"].decode("ascii", "replace"))
        return any(self._is_key(each) for each in query.get("key", ()))

    async def sign_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Set the cookie and redirect to the same page without the key.

        The cookie works for the account that opened the address only: other servers on this host name get it too.
        """
        answer = RedirectResponse(scope["path"], 303)
        answer.set_cookie(LOCAL_COOKIE, self._cookie(self._owner(scope)), httponly=True, samesite="strict")
        await answer(scope, receive, send)

    def _is_key(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), self._key.encode())

    def _cookie(self, owner: PeerOwner) -> str:
        return hmac.new(self._key.encode(), f"account {owner}".encode(), hashlib.sha256).hexdigest()

    def _owner(self, scope: Scope) -> PeerOwner:
        client, server = scope.get("client"), scope.get("server")
        if client is None or server is None or server[1] is None:
            return "unknown"
        try:
            return self._find_owner((client[0], client[1]), (server[0], server[1]))
        except ValueError:  # a test's host name: uvicorn names addresses
            return "unknown"
