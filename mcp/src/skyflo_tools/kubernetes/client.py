"""HTTP client for one API server. It sends each change at most once; only reads are retried."""

import re
import ssl
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
from pydantic import TypeAdapter, ValidationError

from skyflo_common.clock import Clock
from skyflo_common.jsontypes import JsonObject, canonical, objects_at, text_at
from skyflo_tools import __version__
from skyflo_tools.errors import ApiStatusError, ApiUnreachable, ClusterError, ResponseTooLarge, UnreadableResponse
from skyflo_tools.http import NoAuth, read_bounded
from skyflo_tools.kubernetes.credentials import Credentials
from skyflo_tools.kubernetes.kubeconfig import ClusterInfo, Connection, UserInfo
from skyflo_tools.shortening import shorten

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
MESSAGE_CHARACTERS = 8000
WARNING_CHARACTERS = 2000
MAX_RESPONSE_BYTES = 64 * 1024 * 1024
TABLE_MEDIA_TYPE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_JSON_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_READ_METHODS = frozenset({"GET", "HEAD"})
_USER_AGENT = f"skyflo-tools/{__version__}"
_UNREADABLE_HINT = "check the server address in the kubeconfig, and whether a proxy in front of it wants a sign-in"
_PAGE_BYTES = 4096
_PAGE_TITLE = re.compile(r"<title[^<>]{0,200}>([^<]{1,200})", re.IGNORECASE)
_NOT_TOKEN_CHARACTER = re.compile(r"[^A-Za-z0-9._@+-]")


@dataclass(frozen=True)
class Identity:
    """The user behind a request, and the approval that permits it.

    Where impersonation is on, Kubernetes checks this user's rights. Otherwise only the User-Agent names the approver.
    """

    user: str
    groups: tuple[str, ...] = ()
    approval: str = ""
    approver: str = ""

    def headers(self) -> list[tuple[str, str]]:
        if not self.user:
            return []
        pairs = [("Impersonate-User", self.user)]
        pairs += [("Impersonate-Group", group) for group in self.groups]
        return pairs + ([("Impersonate-Extra-approval", self.approval)] if self.approval else [])

    def user_agent(self) -> str:
        """Return the User-Agent header, which the API server writes to its audit log."""
        parts = [f"approval/{self.approval}"] if self.approval else []
        parts += [f"approver/{_NOT_TOKEN_CHARACTER.sub('_', self.approver)[:100]}"] if self.approver else []
        return " ".join([_USER_AGENT, *parts])


@dataclass(frozen=True)
class ApiRequest:
    """A request to the API server. `path` comes from `paths.Resource` and is already quoted."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def is_read(self) -> bool:
        return self.method in _READ_METHODS


@dataclass(frozen=True)
class ApiResponse:
    """A 2xx response with the API server's warnings."""

    status: int
    content: bytes
    warnings: tuple[str, ...]
    content_type: str = ""

    def json(self) -> JsonObject:
        """Parse the body, whatever its content type says. Raises UnreadableResponse."""
        try:
            return _JSON_OBJECT.validate_json(self.content)
        except ValidationError as error:
            found = describe_body(self.content, self.content_type)
            raise UnreadableResponse(
                f"the API server's response is not a JSON object but {found}", sent=True, hint=_UNREADABLE_HINT
            ) from error

    def text(self) -> str:
        return self.content.decode("utf-8", errors="replace")


def json_request(method: str, path: str, body: JsonObject, **params: str) -> ApiRequest:
    return ApiRequest(method, path, params=params, body=canonical(body))


class KubeClient:
    """Sends requests to one API server with the credentials of one kubeconfig context.

    `send` raises ApiStatusError for an error response and ApiUnreachable without a readable response. It retries a read
    once; it never retries a change.
    """

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.connection = connection
        self.credentials = Credentials(connection, clock)
        self._http: httpx2.AsyncClient | None = None

    @property
    def name(self) -> str:
        return self.connection.name

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def get(self, path: str, identity: Identity | None = None, **params: str) -> JsonObject:
        return (await self.send(ApiRequest("GET", path, params=params), identity)).json()

    async def send(self, request: ApiRequest, identity: Identity | None = None) -> ApiResponse:
        try:
            return await self._send(request, identity)
        except ApiUnreachable as error:
            if not request.is_read or isinstance(error, ResponseTooLarge):
                raise
            return await self._send(request, identity)

    async def _send(self, request: ApiRequest, identity: Identity | None) -> ApiResponse:
        async with self.open(request, identity) as response:
            content = await _read_body(response)
            warnings = tuple(_parse_warning(value) for value in response.headers.get_list("warning"))
            return ApiResponse(response.status_code, content, warnings, response.headers.get("content-type", ""))

    @asynccontextmanager
    async def open(self, request: ApiRequest, identity: Identity | None = None) -> AsyncIterator[httpx2.Response]:
        """Open a successful response, to read its body as it arrives. Raises as `send`, but repeats nothing."""
        async with self._stream(request, identity) as response:
            if response.is_success:
                yield response
                return
            content = await _read_body(response)
        if response.status_code == 401:
            self.credentials.invalidate()
        if response.has_redirect_location:
            raise _redirected(self.name, response.headers.get("location", ""))
        raise parse_error_response(response.status_code, content)

    @asynccontextmanager
    async def _stream(self, request: ApiRequest, identity: Identity | None = None) -> AsyncIterator[httpx2.Response]:
        """Open a response for streaming, whatever its status. Raises ApiUnreachable."""
        headers = await self.headers(request, identity)
        http = self._client()
        http_request = http.build_request(
            request.method, request.path, params=dict(request.params), content=request.body, headers=headers
        )
        try:
            response = await http.send(http_request, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise self._unreachable(error, sent=False) from error
        except httpx2.TransportError as error:
            raise self._unreachable(error, sent=True) from error

    def _unreachable(self, error: Exception, *, sent: bool) -> ApiUnreachable:
        problem = "did not respond" if sent else "can't be reached"
        detail = str(error) or type(error).__name__
        return ApiUnreachable(
            f"cluster {self.name} {problem}: {detail}", sent=sent, hint="check that the cluster is up"
        )

    async def headers(self, request: ApiRequest, identity: Identity | None) -> list[tuple[str, str]]:
        """Return the headers of a request, with the credentials and the user to impersonate."""
        pairs = [("Accept", request.accept), ("User-Agent", identity.user_agent() if identity else _USER_AGENT)]
        if request.body is not None:
            pairs.append(("Content-Type", request.content_type))
        if authorization := await self.credentials.header():
            pairs.append(("Authorization", authorization))
        return pairs + (identity.headers() if identity else [])

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            cluster = self.connection.cluster
            self._http = httpx2.AsyncClient(
                base_url=cluster.server,
                verify=ssl_context(cluster, self.connection.user),
                timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=50, max_keepalive_connections=10),
                proxy=cluster.proxy_url or None,
                follow_redirects=False,
                auth=NoAuth(),
            )
        return self._http


async def _read_body(response: httpx2.Response) -> bytes:
    body = await read_bounded(response, MAX_RESPONSE_BYTES)
    if body is None:
        raise ResponseTooLarge(
            "the API server's response is larger than 64 MiB",
            sent=True,
            hint="narrow it with a namespace, a selector or a smaller limit",
        )
    return body


def describe_body(content: bytes, content_type: str) -> str:
    """Say what a body is that is not a JSON object: a web page, nothing, cut JSON, or another type."""
    start = content[:_PAGE_BYTES].decode("utf-8", errors="replace").lstrip("\ufeff \t\r\n")
    if not start:
        return "empty"
    if start.startswith("<") or "text/html" in content_type:
        title = _PAGE_TITLE.search(start)
        named = f" ({' '.join(title[1].split())[:100]!r})" if title else ""
        return f"a web page{named}, from a proxy or a sign-in in front of the API server"
    if start.startswith("{"):
        return f"JSON that is cut or invalid ({len(content)} bytes)"
    return f"of type {content_type[:100] or 'unknown'}"


def _redirected(cluster: str, location: str) -> UnreadableResponse:
    """Name where a redirect leads, without its query, which may hold a token."""
    target = location.partition("?")[0].partition("#")[0][:200]
    return UnreadableResponse(
        f"cluster {cluster} redirects to {target or 'another address'}", sent=True, hint=_UNREADABLE_HINT
    )


def _parse_warning(header: str) -> str:
    """Return the text of a Warning header such as `299 - "text"`."""
    _, _, quoted = header.partition('"')
    return shorten(quoted.rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\"), WARNING_CHARACTERS)


def parse_error_response(status: int, content: bytes) -> ApiStatusError:
    """Convert an error response to ApiStatusError. Shortens a body that is not a Kubernetes Status to 200 bytes."""
    try:
        body = _JSON_OBJECT.validate_json(content)
    except ValidationError:
        body = {"message": _summarize_error_body(status, content)}
    reason = text_at(body, "reason") or f"HTTP {status}"
    message = text_at(body, "message") or f"the API server responded with status {status}"
    causes = objects_at(body, "details", "causes")
    budgets = [text_at(cause, "message") for cause in causes if text_at(cause, "reason") == "DisruptionBudget"]
    message = " ".join([message, *budgets])
    return ApiStatusError(
        shorten(message, MESSAGE_CHARACTERS),
        status=status,
        reason=reason,
        causes=tuple(text_at(cause, "reason") for cause in causes),
        fields=tuple(dict.fromkeys(text_at(cause, "field") for cause in causes)),
        code=_error_code(reason),
        hint=_error_hint(reason),
    )


def _summarize_error_body(status: int, content: bytes) -> str:
    if content.lstrip()[:1] == b"<":
        return f"status {status} with {describe_body(content, 'text/html')}"
    return content[:200].decode("utf-8", errors="replace").strip()


def _error_code(reason: str) -> str:
    known = {
        "NotFound": "not_found",
        "Forbidden": "forbidden",
        "Unauthorized": "unauthorized",
        "Conflict": "conflict",
        "AlreadyExists": "already_exists",
        "Invalid": "invalid",
        "BadRequest": "bad_request",
        "TooManyRequests": "too_many_requests",
        "Expired": "cursor_expired",
    }
    return known.get(reason, "api_refused")


def _error_hint(reason: str) -> str:
    known = {
        "NotFound": "check the name, the namespace and the kind; k8s_get without a name lists the objects",
        "Forbidden": "k8s_can_i shows what these credentials may do",
        "Unauthorized": "the kubeconfig's credentials are no longer accepted; renew them",
        "Expired": "list again without a cursor",
        "TooManyRequests": "the API server is busy; try again later",
        "ServiceUnavailable": "an extension API server may be down: k8s_get kind=apiservices shows which",
    }
    return known.get(reason, "")


def ssl_context(cluster: ClusterInfo, user: UserInfo) -> ssl.SSLContext:
    """Create the TLS context for an API server, with the user's client certificate. Raises ClusterError."""
    try:
        context = ssl.create_default_context(
            cafile=cluster.certificate_authority or None,
            cadata=b64decode(cluster.certificate_authority_data).decode() or None,
        )
        if cluster.insecure_skip_tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        _load_client_certificate(context, user)
    except (OSError, ValueError) as error:
        raise ClusterError(f"the kubeconfig's certificates for {cluster.server} can't be used") from error
    return context


def _load_client_certificate(context: ssl.SSLContext, user: UserInfo) -> None:
    if user.client_certificate_data:
        pem = b64decode(user.client_certificate_data) + b"\n" + b64decode(user.client_key_data)
        with tempfile.TemporaryDirectory(
            prefix="skyflo-"
        ) as folder:  # the ssl module loads certificates from files only
            file = Path(folder) / "client.pem"
            file.touch(mode=0o600)
            file.write_bytes(pem)
            context.load_cert_chain(file)
    elif user.client_certificate:
        context.load_cert_chain(user.client_certificate, user.client_key or None)
