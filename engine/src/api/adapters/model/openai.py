"""The chat-completions wire on httpx: `openai/*`, and every host that speaks it."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import httpx
import orjson

from src.api.adapters.model.accounting import Accountant
from src.api.adapters.model.catalog import Catalog
from src.api.adapters.model.failures import Redactor, failure, retry_after
from src.api.adapters.model.lines import EventReader
from src.api.adapters.model.tokens import estimate
from src.api.adapters.model.wire import Answer, Dialect, error_in, request_body
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import Finished, ModelChunk, ModelRequest

__all__ = ["OPENAI_BASE_URL", "SAME_WIRE", "ModelTimeouts", "OpenAIModel", "OpenAISettings"]

OPENAI_BASE_URL = "https://api.openai.com/v1"
SAME_WIRE = frozenset(
    {"openai", "hosted_vllm", "vllm", "litellm_proxy", "lm_studio", "llamafile", "openai_like", "custom_openai"}
)
"""LiteLLM's names for hosts that speak this wire and nothing else: a prefix that the host itself does not know."""
MAX_ERROR_BODY = 65_536
MAX_WHOLE_BODY = 8_388_608
LINGER = 0.2

_ABOUT_USAGE = re.compile(rb"stream_options|include_usage", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelTimeouts:
    """Seconds. `first_token` counts from the request on; a comment or an empty chunk is no token."""

    connect: float = 10.0
    first_token: float = 180.0
    between_tokens: float = 60.0


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """Where to ask and as whom. `base_url` is what `/chat/completions` is appended to."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str = OPENAI_BASE_URL
    timeouts: ModelTimeouts = field(default_factory=ModelTimeouts)


class OpenAIModel:
    """`Model` on the chat-completions wire. Whoever makes it calls `aclose` in the end."""

    def __init__(self, settings: OpenAISettings, catalog: Catalog) -> None:
        self._timeouts = settings.timeouts
        self._catalog = catalog
        self._accountant = Accountant(catalog)
        self._redact = Redactor([settings.api_key or ""])
        own = settings.base_url.rstrip("/") == OPENAI_BASE_URL
        self._dialect = Dialect("max_completion_tokens", 40) if own else Dialect()
        self._usage_refused = False
        self._keyless = own and not settings.api_key
        self._url = settings.base_url.rstrip("/") + "/chat/completions"
        self._client = httpx.AsyncClient(
            headers=_headers(settings.api_key),
            timeout=httpx.Timeout(None, connect=settings.timeouts.connect, write=30.0),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=100),
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def warm(self) -> None:
        """Nothing to prepare."""

    def context_window(self, model: str) -> int:
        return self._catalog.window(model)

    def count_tokens(self, model: str, text: str) -> int:  # noqa: ARG002  one estimate serves all models
        return estimate(text)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """See `Model.stream`. A stream that ends without the provider's word that it ended is `ModelCut`."""
        answer = Answer(self._redact)
        started = asyncio.get_running_loop().time()
        async with self._opened(request, started + self._timeouts.first_token) as response:
            chunks = self._whole(response, answer) if _is_json(response) else self._chunks(response, answer, started)
            async with aclosing(chunks):
                async for chunk in chunks:
                    yield chunk
        yield self._finished(request, answer)

    @asynccontextmanager
    async def _opened(self, request: ModelRequest, deadline: float) -> AsyncIterator[httpx.Response]:
        """An answer with status 200, closed in the end. Leaving early closes the connection."""
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._send(request)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise _timeout(error) from error
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        try:
            yield response
        finally:
            await response.aclose()

    def _unreachable(self, error: Exception) -> ModelUnavailable:
        host = httpx.URL(self._url).netloc.decode()
        return ModelUnavailable(
            f"The model's host {host} can't be reached ({_named(error)}). Check LLM_HOST and the network."
        )

    async def _send(self, request: ModelRequest) -> httpx.Response:
        """Asks for token counts, and once more without where the host names that as its reason to refuse."""
        if self._keyless:
            raise ModelRefused("The model has no key. Set OPENAI_API_KEY, or LLM_HOST for a server of your own.")
        usage = not self._usage_refused
        response = await self._post(request, usage)
        if response.status_code == 200:
            return response
        body = await _bounded(response, MAX_ERROR_BODY)
        if usage and response.status_code in (400, 422) and _ABOUT_USAGE.search(body):
            self._usage_refused = True
            return await self._send(request)
        raise self._refusal(response, body)

    async def _post(self, request: ModelRequest, usage: bool) -> httpx.Response:
        body = request_body(request, _served_name(request.model), self._dialect, usage=usage)
        return await self._client.send(self._client.build_request("POST", self._url, content=body), stream=True)

    def _refusal(self, response: httpx.Response, body: bytes) -> ModelError:
        wait = retry_after(response.headers)
        try:
            event = orjson.loads(body)
        except orjson.JSONDecodeError:
            event = None
        if isinstance(event, dict):
            return error_in(event, response.status_code, self._redact, wait)
        return failure(response.status_code, "", self._redact(body[:2000].decode(errors="replace")), wait)

    async def _chunks(
        self, response: httpx.Response, answer: Answer, started: float
    ) -> AsyncGenerator[ModelChunk, None]:
        """Chunks as they come. Time runs from when we begin to wait, so a slow reader is not the provider's fault."""
        reader = EventReader()
        clock = asyncio.get_running_loop().time
        deadline = started + self._timeouts.first_token
        async with aclosing(_pieces(response)) as pieces:
            while (piece := await _next(pieces, deadline, answer)) is not None:
                fresh = False
                for data in reader.feed(piece):
                    for chunk in answer.read(data):
                        fresh = True
                        yield chunk
                if answer.done:
                    deadline = clock() + LINGER
                elif fresh or answer.reason:
                    deadline = clock() + self._timeouts.between_tokens

    async def _whole(self, response: httpx.Response, answer: Answer) -> AsyncGenerator[ModelChunk, None]:
        """A host that does not stream answers with one JSON object."""
        try:
            async with asyncio.timeout(self._timeouts.first_token):
                body = await _bounded(response, MAX_WHOLE_BODY)
        except TimeoutError as error:
            raise _timeout(error) from error
        for chunk in answer.read(body):
            yield chunk

    def _finished(self, request: ModelRequest, answer: Answer) -> Finished:
        return Finished(answer.end(), self._accountant.usage(request, answer.usage, answer.heard))


def _headers(api_key: str | None) -> dict[str, str]:
    headers = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
    if api_key:
        headers["authorization"] = f"Bearer {api_key}"
    return headers


def _served_name(model: str) -> str:
    provider, slash, name = model.partition("/")
    return name if slash and provider in SAME_WIRE else model


def _is_json(response: httpx.Response) -> bool:
    return str(response.headers.get("content-type", "")).lower().startswith("application/json")


def _pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    return cast(AsyncGenerator[bytes, None], response.aiter_bytes())


async def _bounded(response: httpx.Response, limit: int) -> bytes:
    """The body of a response, at most `limit` bytes of it; the response is closed."""
    body = bytearray()
    async with aclosing(_pieces(response)) as pieces:
        async for piece in pieces:
            body += piece
            if len(body) >= limit:
                break
    await response.aclose()
    return bytes(body[:limit])


async def _next(pieces: AsyncIterator[bytes], deadline: float, answer: Answer) -> bytes | None:
    """The next bytes, or None at the end. After the provider's last word it no longer matters how the stream ends."""
    try:
        async with asyncio.timeout_at(deadline):
            return await anext(pieces, None)
    except TimeoutError as error:
        if answer.done or answer.reason:
            return None
        kind = "another token" if answer.heard else "the first token"
        raise ModelTimeout(f"The model sent nothing for too long: {kind} did not come in time.") from error
    except httpx.TransportError as error:
        if answer.done or answer.reason:
            return None
        raise ModelCut(f"The connection to the model broke in the middle of its answer ({_named(error)}).") from error


def _timeout(error: Exception) -> ModelTimeout:
    what = (
        "The connection to the model's host" if isinstance(error, httpx.ConnectTimeout) else "The model's first token"
    )
    return ModelTimeout(f"{what} did not come in time.")


def _named(error: Exception) -> str:
    return type(error).__name__
