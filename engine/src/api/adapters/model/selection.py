"""Choose the adapter that serves a model."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from src.api.adapters.model.catalog import ModelCatalog
from src.api.adapters.model.litellm import LiteLLMModel, LiteLLMSettings
from src.api.adapters.model.openai import (
    COMPATIBLE_PROVIDERS,
    OPENAI_BASE_URL,
    ModelTimeouts,
    OpenAIModel,
    OpenAISettings,
)
from src.api.ports import Model

__all__ = ["ModelAdapter", "choose_model"]

_PROVIDERS = "provider_endpoints_support_backup.json"


class ModelAdapter(Model, Protocol):
    """A `Model` with resources: `warm` may run in the background, `aclose` must be called at the end."""

    async def warm(self) -> None: ...

    async def aclose(self) -> None: ...


def choose_model(
    model: str,
    *,
    host: str | None = None,
    adapter: Literal["auto", "openai", "litellm"] = "auto",
    keys: Mapping[str, str] | None = None,
    timeouts: ModelTimeouts | None = None,
    window: int | None = None,
) -> ModelAdapter:
    """Create the adapter for `LLM_MODEL`, `LLM_HOST` and `LLM_ADAPTER`.

    `keys` has the environment's names (`OPENAI_API_KEY`) and may be the whole environment. `auto` chooses our own
    adapter for `openai/*`, for a name without a provider, and at a `host` for every provider with a compatible API.
    `window`, in tokens, overrides the model's known context window.
    """
    timeouts = timeouts or ModelTimeouts()
    keys = keys or {}
    catalog = ModelCatalog(window=window)
    if adapter == "litellm" or (adapter == "auto" and not _uses_chat_completions(model, host, catalog)):
        return LiteLLMModel(LiteLLMSettings(keys, host, timeouts), catalog)
    settings = OpenAISettings(keys.get("OPENAI_API_KEY"), host or OPENAI_BASE_URL, timeouts)
    return OpenAIModel(settings, catalog)


def _uses_chat_completions(model: str, host: str | None, catalog: ModelCatalog) -> bool:
    provider, slash, _ = model.partition("/")
    if slash:
        own = provider in COMPATIBLE_PROVIDERS or provider not in _read_providers()
        return provider == "openai" or (host is not None and own)
    facts = None if host else catalog.find(model)
    return facts is None or facts.provider == "openai"


def _read_providers() -> frozenset[str]:
    """Read LiteLLM's list of providers without importing it; empty if it is not installed."""
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        listed = json.loads((Path(folder) / _PROVIDERS).read_bytes())
        return frozenset(listed["providers"])
    return frozenset()
