"""Every provider that does not speak OpenAI's wire, by LiteLLM.

The only module that imports LiteLLM, and late: the import takes seconds and 200 MB. What comes out is what the
`openai` adapter gives out, and where LiteLLM makes up an end that the provider never sent, a cut is told as a cut.
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

from src.api.adapters.model.accounting import Accountant
from src.api.adapters.model.catalog import Catalog
from src.api.adapters.model.failures import Redactor, failure, retry_after
from src.api.adapters.model.openai import ModelTimeouts
from src.api.adapters.model.tokens import estimate
from src.api.adapters.model.wire import Answer, Dialect, finish_reason, message_body, tool_body
from src.api.errors import ModelCut, ModelError, ModelRefused, ModelTimeout, ModelUnavailable
from src.api.ports import Finished, ModelChunk, ModelRequest
from src.api.schemas.base import JsonObject

__all__ = ["LiteLLMModel", "LiteLLMSettings"]

# Read at import: no cost map is fetched, no .env is loaded behind our back.
_ENVIRONMENT = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_MODE": "PRODUCTION",
}
# Their credentials have many parts, which the providers' own libraries take from the environment and nowhere else.
_CLOUDS = ("AWS_", "AZURE_", "DATABRICKS_", "GOOGLE_", "OCI_", "VERTEX", "WATSONX_")
_GEMINI = ".vertex_and_google_ai_studio_gemini"
_THIRD_PARTY = (httpx.HTTPError, OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, ImportError)
"""What a hundred providers' code is known to raise, besides the openai package's errors from which LiteLLM's derive."""


_WRAPPING = re.compile(r"^(?:[\w.]+(?:Error|Exception|Timeout)(?::| -) ?)+")
"""LiteLLM's class names before the provider's words."""
_NAMES_A_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class LiteLLMSettings:
    """`keys` are named as in the environment, which they may be; `base_url` is for a host of one's own."""

    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    base_url: str | None = None
    timeouts: ModelTimeouts = field(default_factory=ModelTimeouts)


class LiteLLMModel:
    """`Model` for the providers of LiteLLM. Whoever makes it calls `aclose` in the end, on the same event loop."""

    def __init__(self, settings: LiteLLMSettings, catalog: Catalog) -> None:
        self._settings = settings
        self._catalog = catalog
        self._accountant = Accountant(catalog)
        self._redact = Redactor([value for name, value in settings.keys.items() if _NAMES_A_SECRET.search(name)])
        self._loading = asyncio.Lock()
        self._library: _Library | None = None

    async def warm(self) -> None:
        """Imports LiteLLM in another thread, so that the first call need not wait for it."""
        await self._load()

    async def aclose(self) -> None:
        if self._library is not None:
            await self._library.close()

    def context_window(self, model: str) -> int:
        return self._catalog.window(model)

    def count_tokens(self, model: str, text: str) -> int:  # noqa: ARG002  one estimate serves all models
        return estimate(text)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """See `Model.stream`."""
        await self._load()
        answer = Answer(self._redact)
        deadline = asyncio.get_running_loop().time() + self._settings.timeouts.first_token
        async with self._opened(request, deadline) as stream:
            native = _overheard(stream)
            while (event := await self._next(stream, deadline)) is not None:
                chunks = list(answer.take(event))
                for chunk in chunks:
                    yield chunk
                if chunks or answer.reason:
                    deadline = asyncio.get_running_loop().time() + self._settings.timeouts.between_tokens
            _take_back_what_was_made_up(stream, native, answer)
        yield Finished(answer.end(), self._accountant.usage(request, answer.usage, answer.heard))

    async def _load(self) -> "_Library":
        async with self._loading:
            if self._library is None:
                self._library = await asyncio.to_thread(_Library.load, self._settings.keys)
        return self._library

    @asynccontextmanager
    async def _opened(self, request: ModelRequest, deadline: float) -> AsyncIterator[Any]:
        library = await self._load()
        try:
            async with asyncio.timeout_at(deadline):
                stream = await library.complete(**self._parameters(request))
                if stream.completion_stream is None:
                    await stream.fetch_stream()
        except library.errors as error:
            raise library.failure(error, self._redact, begun=False) from error
        try:
            yield stream
        finally:
            await stream.aclose()

    def _parameters(self, request: ModelRequest) -> dict[str, Any]:
        """The arguments of one call. Nothing is retried: the engine does that, and says so to the user."""
        parameters: dict[str, Any] = {
            "model": request.model,
            "messages": [message_body(message, Dialect()) for message in request.messages],
            "stream": True,
            "stream_options": {"include_usage": True},
            "timeout": self._settings.timeouts.first_token,
            "num_retries": 0,
            "max_retries": 0,
            "api_base": self._settings.base_url,
            "api_key": self._settings.keys.get(f"{request.model.partition('/')[0].upper()}_API_KEY"),
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
            "tools": [tool_body(tool) for tool in request.tools] or None,
        }
        return {name: value for name, value in parameters.items() if value is not None}

    async def _next(self, stream: Any, deadline: float) -> JsonObject | None:
        library = await self._load()
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(stream, None)
        except library.errors as error:
            raise library.failure(error, self._redact, begun=True) from error
        return None if chunk is None else cast(JsonObject, chunk.model_dump(exclude_none=True))


@dataclass(frozen=True, slots=True)
class _Library:
    """What is used of LiteLLM, once it has been imported."""

    complete: Callable[..., Awaitable[Any]]
    close: Callable[[], Awaitable[None]]
    errors: tuple[type[Exception], ...]
    timeouts: tuple[type[Exception], ...]
    disconnections: tuple[type[Exception], ...]

    @classmethod
    def load(cls, keys: Mapping[str, str]) -> "_Library":
        """Imports it, with everything off that writes logs, calls home or reads `.env`."""
        clouds = {name: value for name, value in keys.items() if name.startswith(_CLOUDS)}
        for name, value in {**_ENVIRONMENT, **clouds}.items():
            os.environ.setdefault(name, value)
        litellm: Any = importlib.import_module("litellm")
        openai: Any = importlib.import_module("openai")
        litellm.telemetry = False
        litellm.suppress_debug_info = True
        litellm.turn_off_message_logging = True
        litellm.disable_token_counter = True  # it would load 80 MB of tokenizer where a provider sends no usage
        litellm.disable_streaming_logging = True
        litellm.disable_aiohttp_transport = True  # its sessions outlive a cancelled call
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # its logs quote requests
        provider_error = importlib.import_module("litellm.llms.base_llm.chat.transformation").BaseLLMException
        errors = (openai.OpenAIError, provider_error, *_THIRD_PARTY)
        _rehearse(litellm, errors)
        return cls(
            litellm.acompletion,
            litellm.close_litellm_async_clients,
            errors,
            (openai.APITimeoutError, httpx.TimeoutException, TimeoutError),
            (openai.APIConnectionError, httpx.TransportError, ConnectionError),
        )

    def failure(self, error: Exception, redact: Redactor, *, begun: bool) -> ModelError:
        """The error in the engine's words. `begun`: the answer had begun, so a lost connection cuts it."""
        cause = getattr(error, "original_exception", None) or error
        message = redact(_WRAPPING.sub("", str(getattr(cause, "message", cause))))
        if isinstance(cause, self.timeouts):
            return ModelTimeout("The model sent nothing for too long: its next token did not come in time.")
        if isinstance(cause, ImportError):
            return ModelRefused(f"The model's provider needs a Python package that is not installed: {message}")
        if isinstance(cause, self.disconnections):
            if begun:
                return ModelCut(f"The connection to the model broke in the middle of its answer: {message}")
            return ModelUnavailable(f"The model's host can't be reached: {message}")
        headers = _headers_of(error, cause)
        status = getattr(cause, "status_code", None)
        return failure(status if isinstance(status, int) else None, type(cause).__name__, message, retry_after(headers))


def _rehearse(litellm: Any, errors: tuple[type[Exception], ...]) -> None:
    """One call to a port that nobody listens on: the first call imports another 500 modules, on the event loop."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{taken.getsockname()[1]}"
        messages = [{"role": "user", "content": "-"}]
        with suppress(*errors):
            litellm.completion(model="openai/-", messages=messages, api_base=host, api_key="-", max_retries=0)


def _headers_of(*errors: Exception) -> Mapping[str, str]:
    for error in errors:
        response = getattr(error, "response", None)
        for owner, name in ((error, "litellm_response_headers"), (response, "headers"), (error, "headers")):
            if headers := getattr(owner, name, None):
                return cast(Mapping[str, str], headers)
    return {}


def _overheard(stream: Any) -> list[str] | None:
    """The reasons for ending in Gemini's own words, filled in as they come; None for other providers.

    LiteLLM gives every chunk of Gemini's a reason, so that the true one can no longer be told.
    """
    parser = stream.completion_stream
    if not type(parser).__module__.endswith(_GEMINI):
        return None
    heard: list[str] = []
    parse = parser.chunk_parser

    def listen(chunk: dict[str, Any]) -> Any:
        heard.extend(str(one["finishReason"]) for one in chunk.get("candidates") or () if one.get("finishReason"))
        return parse(chunk)

    parser.chunk_parser = listen
    return heard


def _take_back_what_was_made_up(stream: Any, native: list[str] | None, answer: Answer) -> None:
    """LiteLLM says "stop" where the provider's stream just ended, and counts where the provider did not."""
    if native is None and getattr(stream, "received_finish_reason", None) is None:
        answer.reason = None
    elif native is not None:
        said = finish_reason(native[-1]) if native else None
        answer.reason = answer.reason if said == "stop" else said
    if all(getattr(chunk, "usage", None) is None for chunk in getattr(stream, "chunks", ())):
        answer.usage = None
