"""Which adapter serves a model."""

import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from src.api.adapters.model.catalog import Catalog
from src.api.adapters.model.litellm import LiteLLMModel, LiteLLMSettings
from src.api.adapters.model.openai import OPENAI_BASE_URL, SAME_WIRE, ModelTimeouts, OpenAIModel, OpenAISettings
from src.api.ports import Model

__all__ = ["ModelAdapter", "choose_model"]

_PROVIDERS = "provider_endpoints_support_backup.json"


class ModelAdapter(Model, Protocol):
    """A `Model` with a life: `warm` may be awaited in the background, `aclose` must be in the end."""

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
    """The adapter for `LLM_MODEL`, `LLM_HOST` and `LLM_ADAPTER`.

    `keys` are named as in the environment (`OPENAI_API_KEY`), and may be all of it. `auto` takes our own adapter for
    `openai/*`, for a name without a provider, and at a `host` for all but the providers with another wire. `window`, in
    tokens, overrides what is known of the model.
    """
    timeouts = timeouts or ModelTimeouts()
    keys = keys or {}
    catalog = Catalog(window=window)
    if adapter == "litellm" or (adapter == "auto" and not _speaks_openai(model, host, catalog)):
        return LiteLLMModel(LiteLLMSettings(keys, host, timeouts), catalog)
    settings = OpenAISettings(keys.get("OPENAI_API_KEY"), host or OPENAI_BASE_URL, timeouts)
    return OpenAIModel(settings, catalog)


def _speaks_openai(model: str, host: str | None, catalog: Catalog) -> bool:
    provider, slash, _ = model.partition("/")
    if slash:
        own = provider in SAME_WIRE or provider not in _providers()
        return provider == "openai" or (host is not None and own)
    facts = None if host else catalog.find(model)
    return facts is None or facts.provider == "openai"


def _providers() -> frozenset[str]:
    """The providers that LiteLLM lists, read without importing it; none if it is not installed."""
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        listed = json.loads((Path(folder) / _PROVIDERS).read_bytes())
        return frozenset(listed["providers"])
    return frozenset()
