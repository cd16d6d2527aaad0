"""Prices and context windows, out of the table that LiteLLM carries: read as data, never imported.

The table is 3 MB of JSON with thousands of models, of which an engine needs one or two: only their rows are parsed.
"""

import importlib.util
import json
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from src.api.schemas.base import Json, JsonObject

__all__ = ["Catalog", "ModelFacts"]

UNKNOWN_WINDOW = 32_768
MAX_ROW = 65_536
MAX_KEPT = 256

_TABLE = "model_prices_and_context_window_backup.json"
_TIER = re.compile(r"_above_(\d+)k_tokens$")


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the table says of a model. Prices are in US dollars for one token, by name as in the table."""

    provider: str
    window: int | None
    prices: Mapping[str, float]

    def cost(self, prompt: int, completion: int, cached: int) -> float | None:
        """US dollars of one call, `cached` being a part of `prompt`; None where the table has no price."""
        fresh_price, answer_price = self._price("input_cost_per_token", prompt), self._price(
            "output_cost_per_token", prompt
        )
        if fresh_price is None or answer_price is None:
            return None
        cached_price = self._price("cache_read_input_token_cost", prompt)
        cached_price = fresh_price if cached_price is None else cached_price
        return round((prompt - cached) * fresh_price + cached * cached_price + completion * answer_price, 10)

    def _price(self, name: str, prompt: int) -> float | None:
        """Some models cost more for all tokens of a prompt beyond a size."""
        tiers = ((int(tier[1]), price) for key, price in self.prices.items() if (tier := _tier_of(key, name)))
        reached = [tier for tier in tiers if prompt > tier[0] * 1000]
        return max(reached)[1] if reached else self.prices.get(name)


class Catalog:
    """Looks models up by the names that `LLM_MODEL` takes (`openai/gpt-4o`, `gpt-4o`), each once.

    `window`, in tokens, is what the user says of the model in use, whatever the table does.
    """

    def __init__(self, table: Path | None = None, window: int | None = None) -> None:
        self._table = table or _bundled()
        self._window = window
        self._found: dict[str, ModelFacts | None] = {}

    def find(self, model: str) -> ModelFacts | None:
        if model not in self._found and len(self._found) < MAX_KEPT:
            self._found[model] = self._look_up(model)
        return self._found.get(model)

    def window(self, model: str) -> int:
        """Tokens that a prompt may have; a cautious 32,768 for a model that nobody told us about."""
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
                row = _row(table, name) if name else None
                if row is not None:
                    return _facts(row)
        return None


def _bundled() -> Path | None:
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (table := Path(folder) / _TABLE).is_file():
            return table
    return None


def _row(table: mmap.mmap, name: str) -> JsonObject | None:
    key = json.dumps(name).encode()
    found = re.search(re.escape(key) + rb"\s*:\s*(?=\{)", table)
    if found is None:
        return None
    text = table[found.end() : found.end() + MAX_ROW].decode(errors="ignore")
    row, _ = json.JSONDecoder().raw_decode(text)
    return row if isinstance(row, dict) else None


def _facts(row: JsonObject) -> ModelFacts:
    prices = {name: float(price) for name, price in row.items() if "cost" in name and isinstance(price, int | float)}
    window = row.get("max_input_tokens") or row.get("max_tokens")
    return ModelFacts(_text(row.get("litellm_provider")), window if isinstance(window, int) else None, prices)


def _tier_of(key: str, name: str) -> re.Match[str] | None:
    tier = _TIER.search(key)
    return tier if tier and key[: tier.start()] == name else None


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""
