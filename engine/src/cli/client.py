"""The engine by HTTP: every answer read within bounds, every failure a sentence with the next step."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote

from src.cli.credentials import Login, Store, from_environment
from src.cli.errors import CliError, Cut, Refused, Unreachable, WrongUse
from src.cli.jsontypes import JsonObject, parsed, text
from src.cli.server import Server, chosen
from src.cli.sse import read
from src.cli.words import line

if TYPE_CHECKING:
    import httpx

__all__ = ["Engine", "Query", "engine_at", "named"]

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 60.0
_SILENCE_SECONDS = 45.0
"""Of a stream, whose engine says every 15 s that it is alive."""
_MAX_BODY = 32 * 1024 * 1024
_JSON = {"Content-Type": "application/json"}
Query = Mapping[str, str | int]


class Engine:
    """One engine, spoken to as one person. Raises `Unreachable`, `Cut` and `Refused`, and nothing else."""

    def __init__(self, server: Server, http: httpx.Client, store: Store, token: str | None = None) -> None:
        self.server = server
        self.store = store
        self._http = http
        self._machine = token
        login = None if token else store.login(server.url)
        self._token = token or (login.access if login else None)

    def get(self, path: str, query: Query | None = None) -> JsonObject:
        return self._called("GET", path, query=query)

    def post(self, path: str, body: JsonObject | None = None) -> JsonObject:
        return self._called("POST", path, body=body)

    def health(self, path: str) -> JsonObject:
        """Also the body of a 503, which says what is not well."""
        try:
            return self.get(path)
        except Refused as error:
            if error.status == 503 and "dependencies" in error.problem:
                return error.problem
            raise

    @contextlib.contextmanager
    def stream(
        self, method: str, path: str, body: JsonObject | None = None, headers: Mapping[str, str] | None = None
    ) -> Iterator[Iterator[JsonObject]]:
        """The events of a stream, `ready` first. Leaving it early changes nothing for the run."""
        with self._answer(method, path, body=body, headers=headers, silence=_SILENCE_SECONDS) as answer:
            yield read(answer.iter_bytes())

    @contextlib.contextmanager
    def lines(self, path: str, query: Query | None = None) -> Iterator[Iterator[str]]:
        """The lines of an answer that may be long."""
        with self._answer("GET", path, query=query, silence=_SILENCE_SECONDS) as answer, self._translated():
            yield answer.iter_lines()

    def sign_in(self, email: str, password: str) -> Login:
        """New tokens. The refresh token is asked for at once; an engine without it gives the access token alone."""
        access = text(self._form("/auth/jwt/login", {"username": email, "password": password}), "access_token")
        self._token = access
        with self._answer("POST", "/auth/refresh/issue") as answer:
            return Login(email, access, _refresh_cookie(answer))

    def _form(self, path: str, fields: dict[str, str]) -> JsonObject:
        with self._translated(), self._http.stream("POST", path, data=fields) as answer:
            self._check(answer)
            return _object(answer)

    def _called(
        self, method: str, path: str, *, query: Query | None = None, body: JsonObject | None = None
    ) -> JsonObject:
        with self._answer(method, path, query=query, body=body) as answer:
            return _object(answer)

    @contextlib.contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        body: JsonObject | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float | None = None,
    ) -> Iterator[httpx.Response]:
        """Sends it; once more with a new token if the old one has expired."""
        for last in (False, True):
            token = self._token
            bearer = {"Authorization": f"Bearer {token}"} if token else {}
            with self._translated():
                request = self._http.build_request(
                    method, path, params=query, headers={**(headers or {}), **bearer, **_JSON}, content=_written(body)
                )
                if silence is not None:
                    request.extensions["timeout"] = {**request.extensions["timeout"], "read": silence}
                answer = self._http.send(request, stream=True)
                try:
                    if answer.status_code == 401 and not last and self._renewed(token):
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
            there = line(answer.headers.get("location", "elsewhere"))
            raise WrongUse(f"{self.server.url} sends one on to {there}: name that address with --server.")
        problem = _object(answer)
        if answer.status_code == 404 and "code" not in problem:
            raise _no_engine(answer)
        if answer.status_code == 401:
            problem["detail"] = self._unknown_here(text(problem, "detail"))
        raise Refused(answer.status_code, problem)

    def _unknown_here(self, said: str) -> str:
        if self._machine:
            return f"{self.server.url} does not take the token in SKYFLO_TOKEN: {said or 'it is not valid.'}"
        return f"Not signed in at {self.server.url}. Do it with: skyflo login --server {self.server.url}"

    def _renewed(self, refused: str | None) -> bool:
        if refused is None or self._machine is not None:
            return False
        try:
            login = self.store.renewed(self.server.url, refused, self._renew)
        except OSError as error:
            raise CliError(f"The new tokens can't be kept: {error.strerror or error}.") from error
        self._token = login.access if login else None
        return login is not None

    def _renew(self, refresh: str) -> Login | None:
        cookie = {"Cookie": f"refresh_token={refresh}"}
        with self._translated(), self._http.stream("POST", "/auth/refresh", headers=cookie) as answer:
            if answer.status_code == 401:
                return None
            self._check(answer)
            return Login("", text(_object(answer), "access_token"), _refresh_cookie(answer))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What the library raises, in words of ours."""
        import httpx

        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol) as error:
            raise Unreachable(self._nobody(str(error))) from error
        except httpx.HTTPError as error:
            raise Cut(f"The connection to {self.server.url} broke ({line(str(error)) or 'no answer'}).") from error
        except httpx.InvalidURL as error:
            raise WrongUse(f"{self.server.url} is not the address of an engine.") from error

    def _nobody(self, reason: str) -> str:
        if "CERTIFICATE" in reason.upper():
            return f"The certificate of {self.server.url} is not trusted here ({line(reason)})."
        return f"No engine at {self.server.url}: start one with `skyflo up`, or name another with --server."


@contextlib.contextmanager
def engine_at(server: str | None, insecure: bool = False, store: Store | None = None) -> Iterator[Engine]:
    """The engine that is meant. Raises `WrongUse` rather than show a secret to everybody on the way."""
    kept = store or Store()
    where = chosen(server, kept.last)
    token = from_environment()
    if (token or kept.login(where.url)) and not where.is_private and not insecure:
        raise WrongUse(f"{where.url} is not encrypted, so no token is sent there. Use https, or add --insecure.")
    if not (token or "").isascii() or any(mark.isspace() for mark in token or ""):
        raise WrongUse("SKYFLO_TOKEN is no token: it holds spaces or characters that are not ASCII.")
    with _http(where) as http:
        yield Engine(where, http, kept, token)


def named(identity: str) -> str:
    """An id as a part of a path, whatever was typed for it."""
    return quote(identity, safe="", errors="replace")


def _http(server: Server) -> httpx.Client:
    # httpx brings a command of its own, with a highlighter of code: half of the time that its import takes.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    import httpx

    return httpx.Client(
        base_url=server.api,
        timeout=httpx.Timeout(_ANSWER_SECONDS, connect=_CONNECT_SECONDS),
        verify=server.url.lower().startswith("https:"),  # without TLS there is nothing to load certificates for
        trust_env=not server.is_loopback,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        headers={"User-Agent": "skyflo"},
    )


def _written(body: JsonObject | None) -> bytes | None:
    """In ASCII, for what was typed may hold what UTF-8 can't; the engine then says so."""
    return None if body is None else json.dumps(body).encode()


def _object(answer: httpx.Response) -> JsonObject:
    """The body, whole. One that is no JSON object is told by its status alone, unless the call succeeded."""
    body = bytearray()
    for piece in answer.iter_bytes():
        body += piece
        if len(body) > _MAX_BODY:
            raise Cut("The answer is too long to be an engine's.")
    if answer.status_code == 204:
        return {}
    try:
        return parsed(bytes(body))
    except ValueError as error:
        if answer.is_success or answer.status_code == 404:
            raise _no_engine(answer) from error
        return {}


def _no_engine(answer: httpx.Response) -> CliError:
    where = f"{answer.url.scheme}://{answer.url.netloc.decode()}"
    return Refused(answer.status_code, {"detail": f"What answers at {where} is no engine of Skyflo's."})


def _refresh_cookie(answer: httpx.Response) -> str:
    """Read by hand: it is for secure connections only, and the loopback is one without being encrypted."""
    for header in answer.headers.get_list("set-cookie"):
        with contextlib.suppress(CookieError):
            cookie = SimpleCookie(header).get("refresh_token")
            if cookie is not None:
                return cookie.value
    return ""
