"""An HTTP client for the engine's API.

It bounds the size of each answer, and turns failures into messages with the next step.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote

from src.cli.credentials import CredentialStore, Login, token_from_environment
from src.cli.errors import CliError, ConnectionLost, EngineError, Unreachable, UsageError
from src.cli.jsontypes import JsonObject, parse_object, text
from src.cli.server import Server, choose_server
from src.cli.sse import read_events
from src.cli.text import one_line

if TYPE_CHECKING:
    import httpx

__all__ = ["EngineClient", "Query", "open_engine", "quote_id"]

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_STREAM_READ_SECONDS = 45.0
"""Read timeout of a stream, on which the engine sends a heartbeat every 15 s."""
_MAX_BODY = 32 * 1024 * 1024
_JSON = {"Content-Type": "application/json"}
Query = Mapping[str, str | int]


class EngineClient:
    """A client of one engine, signed in as one user.

    Raises only `Unreachable`, `ConnectionLost`, `EngineError` and, for tokens that can't be stored, `CliError`.
    """

    def __init__(self, server: Server, http: httpx.Client, store: CredentialStore, token: str | None = None) -> None:
        self.server = server
        self.store = store
        self._http = http
        self._machine_token = token
        login = None if token else store.login(server.url)
        self._token = token or (login.access if login else None)

    def get(self, path: str, query: Query | None = None) -> JsonObject:
        return self._request_json("GET", path, query=query)

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        return self._request_json("POST", path, body=body)

    def health(self, path: str) -> JsonObject:
        """GET a health endpoint; a 503 with the state of the dependencies is returned like a 200."""
        try:
            return self.get(path)
        except EngineError as error:
            if error.status == 503 and "dependencies" in error.problem:
                return error.problem
            raise

    @contextlib.contextmanager
    def stream(
        self, method: str, path: str, body: JsonObject | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[JsonObject]]:
        """Open an event stream and yield its events, `ready` first. Closing it early does not affect the run."""
        with self._request(method, path, body=body, headers=headers, read_timeout=_STREAM_READ_SECONDS) as answer:
            yield read_events(answer.iter_bytes())

    @contextlib.contextmanager
    def stream_lines(self, path: str, query: Query | None = None) -> Iterator[Iterator[str]]:
        """Stream the lines of a long response."""
        with (
            self._request("GET", path, query=query, read_timeout=_STREAM_READ_SECONDS) as answer,
            self._translate_errors(),
        ):
            yield answer.iter_lines()

    def sign_in(self, email: str, password: str) -> Login:
        """Get new tokens for an e-mail address and password.

        The refresh token needs a second request.
        """
        access = text(self._post_form("/auth/jwt/login", {"username": email, "password": password}), "access_token")
        self._token = access
        with self._request("POST", "/auth/refresh/issue") as answer:
            return Login(email, access, _refresh_cookie(answer))

    def _post_form(self, path: str, fields: dict[str, str]) -> JsonObject:
        with self._translate_errors(), self._http.stream("POST", path, data=fields) as answer:
            self._check(answer)
            return _read_object(answer)

    def _request_json(
        self, method: str, path: str, *, query: Query | None = None, body: JsonObject | None = None
    ) -> JsonObject:
        with self._request(method, path, query=query, body=body) as answer:
            return _read_object(answer)

    @contextlib.contextmanager
    def _request(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
        read_timeout: float | None = None,
    ) -> Iterator[httpx.Response]:
        """Send a request; repeat it once with a new access token if the old one has expired."""
        for last in (False, True):
            token = self._token
            bearer = {"Authorization": f"Bearer {token}"} if token else {}
            with self._translate_errors():
                request = self._http.build_request(
                    method,
                    path,
                    params=query,
                    headers={**(headers or {}), **bearer, **_JSON},
                    content=_encode_body(body),
                )
                if read_timeout is not None:
                    request.extensions["timeout"] = {**request.extensions["timeout"], "read": read_timeout}
                answer = self._http.send(request, stream=True)
                try:
                    if answer.status_code == 401 and not last and self._renew_token(token):
                        continue
                    self._check(answer)
                    yield answer
                    return
                finally:
                    answer.close()

    def _check(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        if answer.is_redirect:
            there = one_line(answer.headers.get("location", "elsewhere"))
            raise UsageError(f"{self.server.url} redirects to {there}: pass that address with --server.")
        problem = _read_object(answer)
        if answer.status_code == 404 and "code" not in problem:
            raise _not_an_engine(answer)
        if answer.status_code == 401:
            problem["detail"] = self._explain_unauthorized(text(problem, "detail"))
        raise EngineError(answer.status_code, problem)

    def _explain_unauthorized(self, detail: str) -> str:
        if self._machine_token:
            return f"{self.server.url} rejects the token in SKYFLO_TOKEN: {detail or 'it is not valid.'}"
        return f"Not signed in at {self.server.url}. Sign in with: skyflo login --server {self.server.url}"

    def _renew_token(self, refused: str | None) -> bool:
        if refused is None or self._machine_token is not None:
            return False
        try:
            login = self.store.renew(self.server.url, refused, self._request_tokens)
        except OSError as error:
            raise CliError(f"The new tokens can't be stored: {error.strerror or error}.") from error
        self._token = login.access if login else None
        return login is not None

    def _request_tokens(self, refresh: str) -> Login | None:
        cookie = {"Cookie": f"refresh_token={refresh}"}
        with self._translate_errors(), self._http.stream("POST", "/auth/refresh", headers=cookie) as answer:
            if answer.status_code == 401:
                return None
            self._check(answer)
            return Login("", text(_read_object(answer), "access_token"), _refresh_cookie(answer))

    @contextlib.contextmanager
    def _translate_errors(self) -> Iterator[None]:
        """Turn httpx exceptions into errors with a message for the user."""
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise Unreachable(self._explain_unreachable(str(error))) from error
        except httpx.HTTPError as error:
            raise ConnectionLost(
                f"The connection to {self.server.url} broke ({one_line(str(error)) or 'no answer'})."
            ) from error
        except httpx.InvalidURL as error:
            raise UsageError(f"{self.server.url} is not the address of an engine.") from error

    def _explain_unreachable(self, reason: str) -> str:
        if "CERTIFICATE" in reason.upper():
            return f"The certificate of {self.server.url} is not trusted on this machine ({one_line(reason)})."
        return f"No engine at {self.server.url}: start one with `skyflo up`, or pass another address with --server."


@contextlib.contextmanager
def open_engine(
    server: str | None, insecure: bool = False, store: CredentialStore | None = None
) -> Iterator[EngineClient]:
    """Open a client for the chosen engine.

    Raises `UsageError` if a token would be sent unencrypted to another machine.
    """
    credentials = store or CredentialStore()
    where = choose_server(server, credentials.last_server)
    token = token_from_environment()
    if (token or credentials.login(where.url)) and not where.is_safe_for_secrets and not insecure:
        raise UsageError(f"{where.url} is not encrypted, so no token is sent there. Use https, or add --insecure.")
    if not (token or "").isascii() or any(mark.isspace() for mark in token or ""):
        raise UsageError("SKYFLO_TOKEN is not a token: it contains spaces or characters that are not ASCII.")
    with _open_http(where) as http:
        yield EngineClient(where, http, credentials, token)


def quote_id(identity: str) -> str:
    """Quote an id for use in a path, whatever was typed."""
    return quote(identity, safe="", errors="replace")


def _open_http(server: Server) -> httpx.Client:
    # httpx imports its own command with a syntax highlighter, which takes half of its import time.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    import httpx

    return httpx.Client(
        base_url=server.api_url,
        timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        verify=server.url.lower().startswith("https:"),  # without TLS no certificates need to be loaded
        trust_env=not server.is_loopback,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": "skyflo"},
    )


def _encode_body(body: JsonObject | None) -> bytes | None:
    """Encode a body as ASCII: typed text may hold surrogates, which UTF-8 can't encode and the engine rejects."""
    return None if body is None else json.dumps(body).encode()


def _read_object(answer: httpx.Response) -> JsonObject:
    """Read a JSON object from the response.

    Returns an empty object for an error response that holds none, so that its status is reported.
    """
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _MAX_BODY:
            raise ConnectionLost("The answer is longer than an engine sends. Check the address.")
    if answer.status_code == 204:
        return {}
    try:
        return parse_object(bytes(body))
    except ValueError as error:
        if answer.is_success or answer.status_code == 404:
            raise _not_an_engine(answer) from error
        return {}


def _not_an_engine(answer: httpx.Response) -> CliError:
    where = f"{answer.url.scheme}://{answer.url.netloc.decode()}"
    return EngineError(
        answer.status_code, {"detail": f"{where} answers, but is not a Skyflo engine. Check the address."}
    )


def _refresh_cookie(answer: httpx.Response) -> str:
    """Read the refresh token from the cookie header.

    The cookie is marked secure, so a cookie jar would drop it on unencrypted loopback connections.
    """
    for header in answer.headers.get_list("set-cookie"):
        with contextlib.suppress(CookieError):
            cookie = SimpleCookie(header).get("refresh_token")
            if cookie is not None:
                return cookie.value
    return ""
