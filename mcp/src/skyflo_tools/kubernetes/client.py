"""One API server over HTTP. A change is sent at most once: nothing here, and nothing below, sends it again."""

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

from skyflo_tools import __version__
from skyflo_tools.clock import Clock
from skyflo_tools.errors import AnswerTooLarge, ApiRefused, ApiUnreachable, ClusterProblem
from skyflo_tools.jsontypes import JsonObject, canonical, objects_at, text_at
from skyflo_tools.kubernetes.credentials import Credentials
from skyflo_tools.kubernetes.kubeconfig import ClusterInfo, Connection, UserInfo

CONNECT_SECONDS = 5.0
READ_SECONDS = 30.0
ANSWER_BYTES = 64 * 1024 * 1024
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
_JSON_OBJECT: TypeAdapter[JsonObject] = TypeAdapter(JsonObject)
_READS = frozenset({"GET", "HEAD"})
_AGENT = f"skyflo-tools/{__version__}"
_NOT_TOKEN = re.compile(r"[^A-Za-z0-9._@+-]")


@dataclass(frozen=True)
class Identity:
    """For whom a request is made. Kubernetes sees the user where impersonation is on, else only the User-Agent."""

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

    def agent(self) -> str:
        """The User-Agent, which the API server writes into its audit log."""
        said = [f"approval/{self.approval}"] if self.approval else []
        said += [f"approver/{_NOT_TOKEN.sub('_', self.approver)[:100]}"] if self.approver else []
        return " ".join([_AGENT, *said])


@dataclass(frozen=True)
class Request:
    """One request as it goes to the API server. `path` comes from `paths`, so it needs no more quoting."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    content_type: str = "application/json"
    accept: str = "application/json"

    @property
    def is_read(self) -> bool:
        return self.method in _READS


@dataclass(frozen=True)
class Answer:
    """A 2xx answer: its bytes, and what the API server warned of."""

    status: int
    content: bytes
    warnings: tuple[str, ...]

    def json(self) -> JsonObject:
        try:
            return _JSON_OBJECT.validate_json(self.content)
        except ValidationError as error:
            raise ApiUnreachable("the API server's answer is not a JSON object", sent=True) from error

    def text(self) -> str:
        return self.content.decode("utf-8", errors="replace")


def json_request(method: str, path: str, body: JsonObject, **params: str) -> Request:
    return Request(method, path, params=params, body=canonical(body))


class KubeClient:
    """Requests to one API server as one user.

    `send` raises ApiRefused for an answer that is an error and ApiUnreachable where there is no readable answer. A
    read that broke off is sent once more; a change never is.
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
        return (await self.send(Request("GET", path, params=params), identity)).json()

    async def send(self, request: Request, identity: Identity | None = None) -> Answer:
        try:
            return await self._send(request, identity)
        except ApiUnreachable as error:
            if not request.is_read or isinstance(error, AnswerTooLarge):
                raise
            return await self._send(request, identity)

    async def _send(self, request: Request, identity: Identity | None) -> Answer:
        async with self.stream(request, identity) as response:
            content = await _read_bounded(response)
            warnings = tuple(_warning(value) for value in response.headers.get_list("warning"))
            if response.is_success:
                return Answer(response.status_code, content, warnings)
        if response.status_code == 401:
            self.credentials.forget()
        raise refusal(response.status_code, content)

    @asynccontextmanager
    async def stream(self, request: Request, identity: Identity | None = None) -> AsyncIterator[httpx2.Response]:
        """The open answer, whatever its status."""
        headers = await self._headers(request, identity)
        http = self._client()
        wire = http.build_request(
            request.method, request.path, params=dict(request.params), content=request.body, headers=headers
        )
        try:
            response = await http.send(wire, stream=True)
            try:
                yield response
            finally:
                await response.aclose()
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
            raise self._unreachable(error, sent=False) from error
        except httpx2.TransportError as error:
            raise self._unreachable(error, sent=True) from error

    def _unreachable(self, error: Exception, *, sent: bool) -> ApiUnreachable:
        what = "did not answer" if sent else "can't be reached"
        detail = str(error) or type(error).__name__
        return ApiUnreachable(f"cluster {self.name} {what}: {detail}", sent=sent, hint="check that the cluster is up")

    async def _headers(self, request: Request, identity: Identity | None) -> list[tuple[str, str]]:
        pairs = [("Accept", request.accept), ("User-Agent", identity.agent() if identity else _AGENT)]
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
                auth=_NoAuth(),
            )
        return self._http


class _NoAuth(httpx2.Auth):
    """Keeps httpx from taking credentials out of ~/.netrc: ours are in the headers."""


async def _read_bounded(response: httpx2.Response) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > ANSWER_BYTES:
            raise AnswerTooLarge(
                "the API server's answer is larger than 64 MiB",
                sent=True,
                hint="narrow it with a namespace, a selector or a smaller limit",
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _warning(header: str) -> str:
    """The text of a `299 - "text"` header."""
    _, _, quoted = header.partition('"')
    return quoted.rpartition('"')[0].replace('\\"', '"').replace("\\\\", "\\")[:500]


def refusal(status: int, content: bytes) -> ApiRefused:
    """The error that a Kubernetes Status body tells of; any other body is cut to one line."""
    try:
        body = _JSON_OBJECT.validate_json(content)
    except ValidationError:
        body = {"message": content[:200].decode("utf-8", errors="replace")}
    reason = text_at(body, "reason") or f"HTTP {status}"
    message = text_at(body, "message") or f"the API server answered {status}"
    causes = objects_at(body, "details", "causes")
    return ApiRefused(
        message[:2000],
        status=status,
        reason=reason,
        causes=tuple(text_at(cause, "reason") for cause in causes),
        fields=tuple(dict.fromkeys(text_at(cause, "field") for cause in causes)),
        code=_code(reason),
        hint=_hint(reason),
    )


def _code(reason: str) -> str:
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


def _hint(reason: str) -> str:
    known = {
        "NotFound": "check the name, the namespace and the kind; k8s_get without a name lists what is there",
        "Forbidden": "k8s_can_i tells what these credentials may do",
        "Unauthorized": "the kubeconfig's credentials are no longer accepted; renew them",
        "Expired": "begin the list again without a cursor",
        "TooManyRequests": "the API server is busy; try again later",
    }
    return known.get(reason, "")


def ssl_context(cluster: ClusterInfo, user: UserInfo) -> ssl.SSLContext:
    """How the API server is verified, and the client certificate, if the user has one. Raises ClusterProblem."""
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
        raise ClusterProblem(f"the kubeconfig's certificates for {cluster.server} can't be used") from error
    return context


def _load_client_certificate(context: ssl.SSLContext, user: UserInfo) -> None:
    if user.client_certificate_data:
        pem = b64decode(user.client_certificate_data) + b"\n" + b64decode(user.client_key_data)
        with tempfile.TemporaryDirectory(prefix="skyflo-") as folder:  # ssl loads certificates from files only
            file = Path(folder) / "client.pem"
            file.touch(mode=0o600)
            file.write_bytes(pem)
            context.load_cert_chain(file)
    elif user.client_certificate:
        context.load_cert_chain(user.client_certificate, user.client_key or None)
