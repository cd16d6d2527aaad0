"""HTTP client for one Prometheus server. It only reads."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import httpx2
from pydantic import TypeAdapter, ValidationError

from skyflo_tools import __version__
from skyflo_tools.errors import ToolFailure
from skyflo_tools.http import NoAuth, read_bounded, tls_context
from skyflo_tools.prometheus.models import REFUSAL, Answer
from skyflo_tools.shortening import one_line

CONNECT_SECONDS = 5.0
READ_SECONDS = 28.0
MAX_RESPONSE_BYTES = 16 * 1024 * 1024
MESSAGE_CHARACTERS = 2000
T = TypeVar("T")


@dataclass(frozen=True)
class PrometheusSettings:
    """The address of a Prometheus server, and how to sign in: a bearer token, or a name and a password."""

    url: str
    token: str = field(default="", repr=False)
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(each for each in (self.token, self.password) if each)


class PrometheusClient:
    """Asks one Prometheus server. Every answer is bounded and parsed into a model."""

    def __init__(self, settings: PrometheusSettings) -> None:
        self.settings = settings
        self._http: httpx2.AsyncClient | None = None

    async def aclose(self) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def ask(self, path: str, params: Mapping[str, str], answer: TypeAdapter[Answer[T]]) -> Answer[T]:
        """Send one question. Raises ToolFailure that says what Prometheus answered, or why it did not."""
        status, content = await self._send(path, params)
        try:
            return await asyncio.to_thread(answer.validate_json, content)
        except ValidationError as error:
            raise self._explain(status, content) from error

    async def _send(self, path: str, params: Mapping[str, str]) -> tuple[int, bytes]:
        http = self._client()
        request = http.build_request("GET", f"api/v1/{path}", params=dict(params))
        try:
            response = await http.send(request, stream=True)
            try:
                content = await read_bounded(response, MAX_RESPONSE_BYTES)
            finally:
                await response.aclose()
        except httpx2.TransportError as error:
            detail = str(error) or type(error).__name__
            raise ToolFailure(
                f"Prometheus at {self.settings.url} can't be reached: {detail}",
                code="prometheus_unreachable",
                hint="check PROMETHEUS_URL, and that the server is up",
            ) from error
        if content is None:
            raise ToolFailure(
                "Prometheus' answer is larger than 16 MiB and was not read",
                code="answer_too_large",
                hint="aggregate (sum by, topk), select fewer series, or shorten the range",
            )
        return response.status_code, content

    def _explain(self, status: int, content: bytes) -> ToolFailure:
        """Return the error for an answer that is not the one asked for."""
        if status in (401, 403):
            return ToolFailure(
                f"Prometheus refused the credentials (status {status})",
                code="prometheus_unauthorized",
                hint="check PROMETHEUS_TOKEN, or PROMETHEUS_USERNAME and PROMETHEUS_PASSWORD",
            )
        try:
            refusal = REFUSAL.validate_json(content)
        except ValidationError:
            return ToolFailure(
                f"the server at {self.settings.url} answered with status {status} and no answer of Prometheus' API",
                code="prometheus_unreadable",
                hint="check PROMETHEUS_URL, and whether a proxy in front of it wants a sign-in",
            )
        message = one_line(refusal.error, MESSAGE_CHARACTERS) or f"status {status}"
        codes = {"bad_data": "bad_query", "timeout": "query_timeout", "canceled": "query_timeout"}
        hint = "narrow the query or shorten the range" if refusal.error_type in ("timeout", "canceled") else ""
        return ToolFailure(
            f"Prometheus: {message}", code=codes.get(refusal.error_type, "prometheus_refused"), hint=hint
        )

    def _client(self) -> httpx2.AsyncClient:
        if self._http is None:
            settings = self.settings
            auth = httpx2.BasicAuth(settings.username, settings.password) if settings.username else NoAuth()
            bearer = {"Authorization": f"Bearer {settings.token}"} if settings.token else {}
            self._http = httpx2.AsyncClient(
                base_url=f"{settings.url.rstrip('/')}/",
                headers={"User-Agent": f"skyflo-tools/{__version__}", "Accept": "application/json", **bearer},
                verify=tls_context(),
                timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
                limits=httpx2.Limits(max_connections=10, max_keepalive_connections=5),
                follow_redirects=False,
                auth=auth,
            )
        return self._http
