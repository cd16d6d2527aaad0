"""Look up prices and context windows in LiteLLM's model table, without importing LiteLLM.

The table is 3 MB of JSON with thousands of models. An engine needs one or two, so only their rows are parsed.
"""

import importlib.util
import json
import mmap
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from src.api.errors import ModelContextExceeded
from src.api.schemas.base import Json, JsonObject

__all__ = ["ModelCatalog", "ModelFacts"]

UNKNOWN_WINDOW = 32_768
SMALLEST_WINDOW = 1_024
MAX_WINDOW = 1_000_000_000
MAX_ROW = 65_536
MAX_CACHED = 256

_TABLE = "model_prices_and_context_window_backup.json"
_TIER = re.compile(r"_above_(\d+)k_tokens$")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model's row in the table. Prices are US dollars per token, under the table's names."""

    provider: str
    window: int | None
    prices: Mapping[str, float]

    def cost(self, prompt: int, completion: int, cached: int) -> float | None:
        """Compute the US dollars of one call; None without a price. `cached` tokens are a part of `prompt`."""
        fresh_price, answer_price = self._price("input_cost_per_token", prompt), self._price(
            "output_cost_per_token", prompt
        )
        if fresh_price is None or answer_price is None:
            return None
        cached_price = self._price("cache_read_input_token_cost", prompt)
        cached_price = fresh_price if cached_price is None else cached_price
        return round((prompt - cached) * fresh_price + cached * cached_price + completion * answer_price, 10)

    def _price(self, name: str, prompt: int) -> float | None:
        """Return the price per token; for some models it rises for all tokens once the prompt exceeds a size."""
        tiers = ((int(tier[1]), price) for key, price in self.prices.items() if (tier := _match_tier(key, name)))
        reached = [tier for tier in tiers if prompt > tier[0] * 1000]
        return max(reached)[1] if reached else self.prices.get(name)


class ModelCatalog:
    """Find models by the names that `LLM_MODEL` accepts (`openai/gpt-4o`, `gpt-4o`); results are cached.

    `window`, in tokens, is the user's setting for the model in use and overrides the table. A size that a host has
    named or refused overrides both, if it is smaller.
    """

    def __init__(self, table: Path | None = None, window: int | None = None) -> None:
        self._table = table or _find_table()
        self._window = window
        self._cache: dict[str, ModelFacts | None] = {}
        self._refused: dict[str, int] = {}

    def find(self, model: str) -> ModelFacts | None:
        if model not in self._cache and len(self._cache) < MAX_CACHED:
            self._cache[model] = self._look_up(model)
        return self._cache.get(model)

    def window(self, model: str) -> int:
        """Return the context window in tokens: 32,768 for an unknown model."""
        return min(self._known_window(model), self._refused.get(model, MAX_WINDOW))

    @contextmanager
    def learning_window(self, model: str) -> Iterator[None]:
        """Remember the size of the window if a host refuses a request as too long inside this block."""
        try:
            yield
        except ModelContextExceeded as error:
            self._shrink_window(model, error.limit)
            raise

    def _shrink_window(self, model: str, limit: int | None) -> None:
        """Take the model's window to be `limit`, or half of what it was if the host named no smaller size."""
        window = self.window(model)
        if len(self._refused) < MAX_CACHED or model in self._refused:
            self._refused[model] = limit if limit is not None and limit < window else max(window // 2, SMALLEST_WINDOW)

    def _known_window(self, model: str) -> int:
        if self._window is not None:
            return self._window
        facts = self.find(model)
        return facts.window if facts and facts.window else UNKNOWN_WINDOW

    def cost(self, model: str, prompt: int, completion: int, cached: int) -> float | None:
        facts = self.find(model)
        return facts.cost(prompt, completion, cached) if facts else None

    def _look_up(self, model: str) -> ModelFacts | None:
        if self._table is None or not model or len(model) > 200:
            return None
        with self._table.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as table:
            for name in (model, model.partition("/")[2]):
                row = _read_row(table, name) if name else None
                if row is not None:
                    return _parse_facts(row)
        return None


def _find_table() -> Path | None:
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (table := Path(folder) / _TABLE).is_file():
            return table
    return None


def _read_row(table: mmap.mmap, name: str) -> JsonObject | None:
    key = json.dumps(name).encode()
    found = re.search(re.escape(key) + rb"\s*:\s*(?=\{)", table)
    if found is None:
        return None
    text = table[found.end() : found.end() + MAX_ROW].decode(errors="ignore")
    row, _ = json.JSONDecoder().raw_decode(text)
    return row if isinstance(row, dict) else None


def _parse_facts(row: JsonObject) -> ModelFacts:
    prices = {name: float(price) for name, price in row.items() if "cost" in name and isinstance(price, int | float)}
    window = row.get("max_input_tokens") or row.get("max_tokens")
    return ModelFacts(_text(row.get("litellm_provider")), window if isinstance(window, int) else None, prices)


def _match_tier(key: str, name: str) -> re.Match[str] | None:
    tier = _TIER.search(key)
    return tier if tier and key[: tier.start()] == name else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
