"""Call models of all other providers through LiteLLM.

This is the only module that imports LiteLLM, and it does so late: the import takes seconds and 200 MB. It yields the
same chunks as the `openai` adapter. Where LiteLLM invents the end of a broken stream, this adapter reports the cut.
"""

import asyncio
import importlib
import logging
import os
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

import httpx

from src.api.adapters.model.accounting import UsageCalculator
from src.api.adapters.model.catalog import ModelCatalog
from src.api.adapters.model.chat_completions import (
    RequestFormat,
    StreamParser,
    build_message,
    build_tool,
    parse_finish_reason,
)
from src.api.adapters.model.errors import ErrorRedactor, build_error, describe_error, retry_after
from src.api.adapters.model.host_quirks import HostQuirks
from src.api.adapters.model.litellm_stream import UnabridgedStream
from src.api.adapters.model.openai import MAX_FORMS, ModelTimeouts
from src.api.adapters.model.token_counter import estimate
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import Finished, ModelChunk, ModelRequest, Usage
from src.api.schemas.base import JsonObject

__all__ = ["LiteLLMModel", "LiteLLMSettings"]

# LiteLLM reads these at import: they keep it from fetching a cost map and loading `.env`.
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
# Cloud credentials have several parts, which the providers' libraries read from the environment only.
_CLOUD_PREFIXES = ("AWS_", "AZURE_", "DATABRICKS_", "GOOGLE_", "OCI_", "VERTEX", "WATSONX_")
_GEMINI = ".vertex_and_google_ai_studio_gemini"
_PROVIDER_ERRORS = (
    httpx.HTTPError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    RuntimeError,
    ImportError,
)
"""What the code of a hundred providers is known to raise, in addition to the openai package's errors."""


_ERROR_CLASS_NAMES = re.compile(r"^(?:[\w.]+(?:Error|Exception|Timeout)(?::| -) ?)+")
"""LiteLLM's class names in front of the provider's message."""
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LiteLLMSettings:
    """`keys` has the environment's names and may be the whole environment; `base_url` is for a self-hosted server."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    base_url: str | None = None
    timeouts: ModelTimeouts = field(default_factory=ModelTimeouts)


class LiteLLMModel:
    """`Model` for LiteLLM's providers. Call `aclose` at the end, on the same event loop."""

    def __init__(self, settings: LiteLLMSettings, catalog: ModelCatalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self._accountant = UsageCalculator(catalog)
        self._redact = ErrorRedactor([value for name, value in settings.keys.items() if _SECRET_NAME.search(name)])
        self._loading = asyncio.Lock()
        self._library: _Library | None = None
        self._quirks = HostQuirks()

    async def warm(self) -> None:
        """Import LiteLLM in another thread, so that the first call does not wait for it."""
        await self._load()

    async def aclose(self) -> None:
        if self._library is not None:
            await self._library.close()

    def context_window(self, model: str) -> int:
        return self._catalog.window(model)

    def count_tokens(self, model: str, text: str) -> int:  # noqa: ARG002  one estimate serves all models
        return estimate(text)

    def estimate_usage(self, request: ModelRequest, received: int) -> Usage:
        return self._accountant.usage(request, None, received)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """See `Model.stream`."""
        await self._load()
        parser, clock = StreamParser(self._redact), asyncio.get_running_loop().time
        deadline = clock() + self._settings.timeouts.first_token
        with self._catalog.learning_window(request.model):
            async with self._open_stream(request, deadline) as stream:
                gemini_reasons = _record_gemini_reasons(stream)
                is_wrapped = hasattr(stream.completion_stream, "__aiter__")
                if is_wrapped:
                    stream.completion_stream = UnabridgedStream(stream.completion_stream, parser)
                while (event := await self._next_chunk(stream, deadline, parser)) is not None:
                    before = parser.received
                    for chunk in parser.parse_event(UnabridgedStream.without_known(event) if is_wrapped else event):
                        yield chunk
                    if parser.received > before or parser.finish_reason:
                        deadline = clock() + self._settings.timeouts.between_tokens
                _discard_invented_values(stream, gemini_reasons, parser)
        reason = parser.finish()
        for chunk in parser.rest():
            yield chunk
        usage = self._accountant.usage(request, parser.usage, parser.received)
        yield Finished(reason, usage, parser.state(self._origin(request.model)))

    async def _load(self) -> "_Library":
        async with self._loading:
            if self._library is None:
                self._library = await asyncio.to_thread(_Library.load, self._settings.keys)
        return self._library

    @asynccontextmanager
    async def _open_stream(self, request: ModelRequest, deadline: float) -> AsyncIterator[Any]:
        stream = await self._request_stream(request, deadline)
        try:
            yield stream
        finally:
            await stream.aclose()

    async def _request_stream(self, request: ModelRequest, deadline: float) -> Any:
        """Send the request, and again without a turn's state if the host refuses that."""
        library = await self._load()
        for form in range(1, MAX_FORMS + 1):
            try:
                async with asyncio.timeout_at(deadline):
                    stream = await library.complete(**self._parameters(request))
                    if stream.completion_stream is None:
                        await stream.fetch_stream()
                    return stream
            except library.timeouts as error:
                raise self._settings.timeouts.first_token_missing() from error
            except library.errors as error:
                refused = getattr(error, "status_code", None) in (400, 422) and form < MAX_FORMS
                if not refused or not self._quirks.learn(str(error), request.messages, self._origin(request.model)):
                    raise library.build_error(error, self._redact, started=False) from error
        raise AssertionError("unreachable")

    def _origin(self, model: str) -> str:
        """Name the provider and the model that a turn's state belongs to."""
        host = self._settings.base_url
        return f"{httpx.URL(host).netloc.decode()}/{model}" if host else model

    def _parameters(self, request: ModelRequest) -> dict[str, Any]:
        """Build the arguments of one call. Retries are off: the engine retries by itself and shows that to the user."""
        dialect = RequestFormat(origin=self._origin(request.model), state=self._quirks.state)
        parameters: dict[str, Any] = {
            "model": request.model,
            "messages": [build_message(message, dialect) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "timeout": self._settings.timeouts.first_token,
            "num_retries": 0,
            "max_retries": 0,
            "api_base": self._settings.base_url,
            "api_key": self._settings.keys.get(f"{request.model.partition('/')[0].upper()}_API_KEY"),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "tools": [build_tool(tool) for tool in request.tools] or None,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    async def _next_chunk(self, stream: Any, deadline: float, parser: StreamParser) -> JsonObject | None:
        library = await self._load()
        limits = self._settings.timeouts
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(stream, None)
        except library.timeouts as error:
            raise (limits.next_token_missing() if parser.received else limits.first_token_missing()) from error
        except library.errors as error:
            raise library.build_error(error, self._redact, started=True) from error
        return None if chunk is None else cast(JsonObject, chunk.model_dump(exclude_none=True))


@dataclass(frozen=True, slots=True)
class _Library:
    """The parts of LiteLLM that are used, available after the import."""

    complete: Callable[..., Awaitable[Any]]
    close: Callable[[], Awaitable[None]]
    errors: tuple[type[Exception], ...]
    timeouts: tuple[type[Exception], ...]
    disconnections: tuple[type[Exception], ...]

    @classmethod
    def load(cls, keys: Mapping[str, str]) -> "_Library":
        """Import LiteLLM with logging, telemetry and `.env` switched off."""
        clouds = {name: value for name, value in keys.items() if name.startswith(_CLOUD_PREFIXES)}
        for name, value in {**_ENVIRONMENT, **clouds}.items():
            os.environ.setdefault(name, value)
        litellm: Any = importlib.import_module("litellm")
        openai: Any = importlib.import_module("openai")
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.turn_off_message_logging = True
        litellm.disable_token_counter = True  # it would load 80 MB of tokenizer if a provider sends no usage
        litellm.disable_streaming_logging = True
        litellm.disable_aiohttp_transport = True  # its sessions outlive a cancelled call
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # its logs quote requests
        provider_error = importlib.import_module("litellm.llms.base_llm.chat.transformation").BaseLLMException
        errors = (openai.OpenAIError, provider_error, *_PROVIDER_ERRORS)
        _make_warm_up_call(litellm, errors)
        return cls(
            litellm.acompletion,
            litellm.close_litellm_async_clients,
            errors,
            (openai.APITimeoutError, httpx.TimeoutException, TimeoutError),
            (openai.APIConnectionError, httpx.TransportError, ConnectionError),
        )

    def build_error(self, error: Exception, redact: ErrorRedactor, *, started: bool) -> ModelError:
        """Convert an error to a `ModelError`. `started`: the response had begun, so a lost connection is a cut."""
        cause = getattr(error, "original_exception", None) or error
        body = getattr(cause, "body", None)
        text = _ERROR_CLASS_NAMES.sub("", str(getattr(cause, "message", cause)))
        message = redact(describe_error(body if isinstance(body, dict | list) and body else text))
        if isinstance(cause, self.timeouts):
            return ModelTimeout("The model's provider did not answer in time.")
        if isinstance(cause, ImportError):
            return ModelRefused(f"The model's provider needs a Python package that is not installed: {message}")
        if isinstance(cause, self.disconnections):
            if started:
                return ModelCut(f"The connection to the model broke during its answer: {message}")
            return ModelUnavailable(f"The model's host can't be reached: {message}")
        headers = _find_headers(error, cause)
        status = getattr(cause, "status_code", None)
        return build_error(
            status if isinstance(status, int) else None, type(cause).__name__, message, retry_after(headers)
        )


def _make_warm_up_call(litellm: Any, errors: tuple[type[Exception], ...]) -> None:
    """Call an unused port once: the first call imports another 500 modules, which would block the event loop."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{unused.getsockname()[1]}"
        messages = [{"role": "user", "content": "-"}]
        with suppress(*errors):
            litellm.completion(model="openai/-", messages=messages, api_base=host, api_key="-", max_retries=0)


def _find_headers(*errors: Exception) -> Mapping[str, str]:
    for error in errors:
        response = getattr(error, "response", None)
        for owner, name in ((error, "litellm_response_headers"), (response, "headers"), (error, "headers")):
            if headers := getattr(owner, name, None):
                return cast(Mapping[str, str], headers)
    return {}


def _record_gemini_reasons(stream: Any) -> list[str] | None:
    """Record Gemini's own finish reasons while its chunks are parsed; return None for other providers.

    LiteLLM gives every Gemini chunk a reason, so its reasons don't show when the response ended.
    """
    parser = stream.completion_stream
    if not type(parser).__module__.endswith(_GEMINI):
        return None
    reasons: list[str] = []
    parse = parser.chunk_parser

    def record_and_parse(chunk: dict[str, Any]) -> Any:
        reasons.extend(str(one["finishReason"]) for one in chunk.get("candidates") or () if one.get("finishReason"))
        return parse(chunk)

    parser.chunk_parser = record_and_parse
    return reasons


def _discard_invented_values(stream: Any, gemini_reasons: list[str] | None, parser: StreamParser) -> None:
    """Clear values that LiteLLM invented: "stop" for a stream that just ended, and usage that was not sent."""
    if gemini_reasons is None and getattr(stream, "received_finish_reason", None) is None:
        parser.finish_reason = None
    elif gemini_reasons is not None:
        reason = parse_finish_reason(gemini_reasons[-1]) if gemini_reasons else None
        parser.finish_reason = parser.finish_reason if reason == "stop" else reason
    if all(getattr(chunk, "usage", None) is None for chunk in getattr(stream, "chunks", ())):
        parser.usage = None
