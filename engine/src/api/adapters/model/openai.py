"""Call models over the chat-completions API with aiohttp: OpenAI's, and every compatible host's."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp
import orjson

from src.api.adapters.model.accounting import UsageCalculator
from src.api.adapters.model.catalog import ModelCatalog
from src.api.adapters.model.chat_completions import RequestFormat, StreamParser, build_request_body
from src.api.adapters.model.errors import ErrorRedactor, build_error, parse_error, retry_after
from src.api.adapters.model.host import ModelHost
from src.api.adapters.model.host_quirks import HostQuirks
from src.api.adapters.model.sse import EventReader
from src.api.adapters.model.token_counter import estimate
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import Finished, ModelChunk, ModelRequest, Usage

__all__ = ["COMPATIBLE_PROVIDERS", "OPENAI_BASE_URL", "ModelTimeouts", "OpenAIModel", "OpenAISettings"]

OPENAI_BASE_URL = "https://api.openai.com/v1"
COMPATIBLE_PROVIDERS = frozenset(
    {"openai", "hosted_vllm", "vllm", "litellm_proxy", "lm_studio", "llamafile", "openai_like", "custom_openai"}
)
"""LiteLLM's provider names for compatible hosts. The host itself does not know this prefix of the model's name."""
MAX_ERROR_BODY = 65_536
MAX_WHOLE_BODY = 8_388_608
DONE_GRACE_SECONDS = 0.2
_CONNECTION_ERRORS = (aiohttp.ClientError, OSError)
MAX_FORMS = 4
"""How often one request is sent at most, each time without something that the host has just refused."""


@dataclass(frozen=True, slots=True)
class ModelTimeouts:
    """Timeouts in seconds. `first_token` starts with the request; comments and empty chunks don't count as tokens."""

    connect: float = 10.0
    first_token: float = 60.0
    between_tokens: float = 30.0

    def first_token_missing(self) -> ModelTimeout:
        return ModelTimeout(
            f"The model did not begin to answer within {self.first_token:g} s. LLM_FIRST_TOKEN_SECONDS allows it more."
        )

    def next_token_missing(self) -> ModelTimeout:
        return ModelTimeout(
            f"The model sent nothing for {self.between_tokens:g} s in the midst of its answer. "
            "LLM_BETWEEN_TOKENS_SECONDS allows it more."
        )


@dataclass(frozen=True, slots=True)
class OpenAISettings:
    """The host and the key. `/chat/completions` is appended to `base_url`."""

    api_key: str | None = field(default=None, repr=False)
    base_url: str = OPENAI_BASE_URL
    timeouts: ModelTimeouts = field(default_factory=ModelTimeouts)


class OpenAIModel:
    """`Model` over the chat-completions API. Call `aclose` at the end."""

    def __init__(self, settings: OpenAISettings, catalog: ModelCatalog) -> None:
        self._timeouts = settings.timeouts
        self._catalog = catalog
        self._accountant = UsageCalculator(catalog)
        self._redact = ErrorRedactor([settings.api_key or ""])
        is_openai = settings.base_url.rstrip("/") == OPENAI_BASE_URL
        self._dialect = RequestFormat("max_completion_tokens", 40) if is_openai else RequestFormat()
        self._quirks = HostQuirks()
        self._lacks_key = is_openai and not settings.api_key
        self._host = ModelHost(settings.base_url, settings.api_key, settings.timeouts.connect)

    async def aclose(self) -> None:
        await self._host.aclose()

    async def warm(self) -> None:
        """Do nothing: there is nothing to load."""

    def context_window(self, model: str) -> int:
        return self._catalog.window(model)

    def count_tokens(self, model: str, text: str) -> int:  # noqa: ARG002  one estimate serves all models
        return estimate(text)

    def estimate_usage(self, request: ModelRequest, received: int) -> Usage:
        return self._accountant.usage(request, None, received)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """Stream one response, see `Model.stream`. Raises `ModelCut` if the provider did not complete it."""
        parser = StreamParser(self._redact)
        started = asyncio.get_running_loop().time()
        deadline = started + self._timeouts.first_token
        with self._catalog.learning_window(request.model):
            async with self._open_response(request, deadline) as response:
                whole = _is_json(response)
                chunks = self._read_whole(response, parser) if whole else self._read_chunks(response, parser, deadline)
                async with aclosing(chunks):
                    async for chunk in chunks:
                        yield chunk
        reason = parser.finish()
        for chunk in parser.rest():
            yield chunk
        usage = self._accountant.usage(request, parser.usage, parser.received)
        yield Finished(reason, usage, parser.state(self._origin(request.model)))

    @asynccontextmanager
    async def _open_response(self, request: ModelRequest, deadline: float) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send the request and yield a response with status 200. Leaving the block closes the connection."""
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._send(request)
        except aiohttp.ConnectionTimeoutError as error:
            raise ModelTimeout("The model's host did not accept the connection in time. Check LLM_HOST.") from error
        except TimeoutError as error:
            raise self._timeouts.first_token_missing() from error
        except _CONNECTION_ERRORS as error:
            raise self._unreachable_error(error) from error
        try:
            yield response
        finally:
            response.close()

    def _unreachable_error(self, error: Exception) -> ModelUnavailable:
        host = self._host.name
        return ModelUnavailable(
            f"The model's host {host} can't be reached ({_error_name(error)}). Check LLM_HOST and the network."
        )

    async def _send(self, request: ModelRequest) -> aiohttp.ClientResponse:
        """Send the request with everything that the host has not refused yet, and again without what it refuses."""
        if self._lacks_key:
            raise ModelRefused("The model has no key. Set OPENAI_API_KEY, or LLM_HOST for a server of your own.")
        for form in range(1, MAX_FORMS + 1):
            response = await self._post(request)
            if response.status == 200:
                return response
            body = await _read_bounded(response, MAX_ERROR_BODY)
            may_learn = response.status in (400, 422) and form < MAX_FORMS
            text = body.decode(errors="replace")
            if not may_learn or not self._quirks.learn(text, request.messages, self._origin(request.model)):
                raise self._parse_refusal(response, body)
        raise AssertionError("unreachable")

    async def _post(self, request: ModelRequest) -> aiohttp.ClientResponse:
        dialect = replace(self._dialect, origin=self._origin(request.model), state=self._quirks.state)
        usage = not self._quirks.refuses_usage
        body = build_request_body(request, _served_name(request.model), dialect, usage=usage)
        return await self._host.post(body)

    def _origin(self, model: str) -> str:
        """Name the provider and the model that a turn's state belongs to."""
        return f"{self._host.name}/{_served_name(model)}"

    def _parse_refusal(self, response: aiohttp.ClientResponse, body: bytes) -> ModelError:
        wait = retry_after(response.headers)
        try:
            event = orjson.loads(body)
        except orjson.JSONDecodeError:
            event = None
        if isinstance(event, dict | list):
            return parse_error(event, response.status, self._redact, wait)
        return build_error(response.status, "", self._redact(body[:2000].decode(errors="replace")), wait)

    async def _read_chunks(
        self, response: aiohttp.ClientResponse, parser: StreamParser, deadline: float
    ) -> AsyncGenerator[ModelChunk, None]:
        """Yield chunks as they arrive. Timeouts run while we wait, so a slow reader is not blamed on the provider."""
        reader = EventReader()
        clock = asyncio.get_running_loop().time
        pieces = response.content.iter_any()
        while (piece := await self._next_piece(pieces, deadline, parser)) is not None:
            before = parser.received
            for data in reader.feed(piece):
                for chunk in parser.parse_data(data):
                    yield chunk
            if parser.done:
                deadline = clock() + DONE_GRACE_SECONDS
            elif parser.received > before or parser.finish_reason:
                deadline = clock() + self._timeouts.between_tokens

    async def _read_whole(
        self, response: aiohttp.ClientResponse, parser: StreamParser
    ) -> AsyncGenerator[ModelChunk, None]:
        """Parse the single JSON object of a host that does not stream."""
        try:
            async with asyncio.timeout(self._timeouts.first_token):
                body = await _read_bounded(response, MAX_WHOLE_BODY)
        except TimeoutError as error:
            raise self._timeouts.first_token_missing() from error
        except _CONNECTION_ERRORS as error:
            raise _cut(error) from error
        for chunk in parser.parse_data(body):
            yield chunk

    async def _next_piece(self, pieces: AsyncIterator[bytes], deadline: float, parser: StreamParser) -> bytes | None:
        """Return the next bytes, or None at the end. After the final chunk, errors of the connection are ignored."""
        try:
            async with asyncio.timeout_at(deadline):
                return await anext(pieces, None)
        except TimeoutError as error:
            if parser.done or parser.finish_reason:
                return None
            limits = self._timeouts
            raise (limits.next_token_missing() if parser.received else limits.first_token_missing()) from error
        except _CONNECTION_ERRORS as error:
            if parser.done or parser.finish_reason:
                return None
            raise _cut(error) from error


def _served_name(model: str) -> str:
    provider, slash, name = model.partition("/")
    return name if slash and provider in COMPATIBLE_PROVIDERS else model


def _is_json(response: aiohttp.ClientResponse) -> bool:
    return str(response.headers.get("content-type", "")).lower().startswith("application/json")


async def _read_bounded(response: aiohttp.ClientResponse, limit: int) -> bytes:
    """Read at most `limit` bytes of the body and close the response."""
    body = bytearray()
    try:
        async for piece in response.content.iter_any():
            body += piece
            if len(body) >= limit:
                break
    finally:
        response.close()
    return bytes(body[:limit])


def _cut(error: Exception) -> ModelCut:
    return ModelCut(f"The connection to the model broke during its answer ({_error_name(error)}).")


def _error_name(error: Exception) -> str:
    return type(error).__name__
