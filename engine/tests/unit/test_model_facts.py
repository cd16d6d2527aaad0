"""Test what the catalog knows about models: token counts, context windows, prices and their adapter."""

import base64
import json
import random
import sys
from pathlib import Path
from typing import Literal

import pytest

from src.api.adapters.model.catalog import UNKNOWN_WINDOW, ModelCatalog
from src.api.adapters.model.litellm import LiteLLMModel
from src.api.adapters.model.openai import OpenAIModel
from src.api.adapters.model.selection import choose_model
from src.api.adapters.model.token_counter import estimate

RANDOM = random.Random(1)
TEXTS = {
    "english": "A pending approval dies when nobody decides in time; nothing is approved by time-out. " * 30,
    "german": "Bitte prüfen Sie anschließend, ob alle Replikate des Deployments wieder laufen. " * 30,
    "russian": "Пожалуйста, проверьте, что все поды работают нормально. " * 30,
    "chinese": "请检查所有的容器是否正常运行。如果有错误请查看日志并告诉我原因。" * 30,
    "japanese": "すべてのポッドが正常に動いているか確認してください。" * 30,
    "hindi": "कृपया जाँचें कि सब ठीक है और पॉड चल रहे हैं। " * 30,
    "emoji": "😀🚀🔥✅❌" * 100,
    "code": Path(__file__).read_text(),
    "json": json.dumps([{"name": f"web-{n}", "ready": True, "restarts": n} for n in range(100)], indent=1),
    "yaml": "spec:\n  replicas: 3\n  selector:\n    matchLabels:\n      app: web\n" * 40,
    "table": "".join(f"web-{n}   1/1   Running   {n}   10.0.{n}.7   node-{n % 3}\n" for n in range(100)),
    "log": "".join(
        f"2026-11-22T13:04:{n % 60:02}.{n * 7919 % 1000000:06}Z status=200 path=/api/{n}\n" for n in range(100)
    ),
    "ids": "".join(f"{RANDOM.getrandbits(128):032x}\n" for _ in range(100)),
    "base64": base64.b64encode(RANDOM.randbytes(6000)).decode(),
    "digits": "".join(RANDOM.choices("0123456789", k=5000)),
    "marks": "".join(RANDOM.choices("!@#$%^&*()_+-=[]{}|;:,.<>?/", k=3000)),
}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Return the tokenizers that LiteLLM ships as files: OpenAI's newer and older one, and Anthropic's."""
    from importlib.util import find_spec

    from tokenizers import Tokenizer

    spec = find_spec("litellm")
    assert spec is not None
    assert spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0]) / "litellm_core_utils" / "tokenizers"
    patch = pytest.MonkeyPatch()
    patch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    import tiktoken

    found = [tiktoken.get_encoding("o200k_base"), tiktoken.get_encoding("cl100k_base")]
    patch.undo()
    return [*found, Tokenizer.from_file(str(folder / "anthropic_tokenizer.json"))]


@pytest.mark.parametrize("kind", TEXTS)
def test_token_estimate_is_never_too_low(tokenizers: list[object], kind: str) -> None:
    text = TEXTS[kind]
    true = max(len(getattr(encoded := tokenizer.encode(text), "ids", encoded)) for tokenizer in tokenizers)  # type: ignore[attr-defined]
    assert true <= estimate(text) <= 2.5 * true


def test_token_estimate_of_a_megabyte_is_fast() -> None:
    assert estimate("") == 0
    assert estimate("x" * 1_000_000) == 300_000


def test_windows_and_prices_come_from_the_table() -> None:
    catalog = ModelCatalog()
    assert catalog.window("openai/gpt-4o") == catalog.window("gpt-4o") == 128_000
    assert catalog.window("openai/some-model-of-ours") == UNKNOWN_WINDOW
    assert catalog.cost("openai/gpt-4o", 1000, 100, 400) == pytest.approx(600 * 2.5e-6 + 400 * 1.25e-6 + 100 * 1e-5)
    assert catalog.cost("openai/some-model-of-ours", 1000, 100, 0) is None


@pytest.mark.parametrize("adapter", ["openai", "litellm"])
@pytest.mark.parametrize("model", ["openai/gpt-4o", "openai/some-model-of-ours"])
async def test_llm_context_window_overrides_the_table(adapter: Literal["openai", "litellm"], model: str) -> None:
    chosen = choose_model(model, host="http://127.0.0.1:1/v1", adapter=adapter, window=9_000)
    assert chosen.context_window(model) == 9_000
    await chosen.aclose()


def test_price_rises_with_the_prompt_length() -> None:
    catalog = ModelCatalog()
    small = catalog.cost("gemini/gemini-2.5-pro", 200_000, 0, 0)
    large = catalog.cost("gemini/gemini-2.5-pro", 200_001, 0, 0)
    assert small == pytest.approx(200_000 * 1.25e-6)
    assert large == pytest.approx(200_001 * 2.5e-6)


def test_model_outside_the_table_is_unknown(tmp_path: Path) -> None:
    table = tmp_path / "table.json"
    table.write_text('{"other": {"max_input_tokens": 5}}')
    assert ModelCatalog(table).find("gpt-4o") is None
    assert ModelCatalog(table).window("other") == 5


@pytest.mark.parametrize(
    ("model", "host", "adapter", "kind"),
    [
        ("openai/gpt-4o", None, "auto", OpenAIModel),
        ("gpt-4o", None, "auto", OpenAIModel),
        ("some-model-of-ours", None, "auto", OpenAIModel),
        ("openai/llama3", "http://127.0.0.1:1/v1", "auto", OpenAIModel),
        ("meta-llama/Llama-3-8B", "http://127.0.0.1:1/v1", "auto", OpenAIModel),
        ("claude-sonnet-4-5", None, "auto", LiteLLMModel),
        ("anthropic/claude-sonnet-4-5", None, "auto", LiteLLMModel),
        ("anthropic/claude-sonnet-4-5", "http://127.0.0.1:1", "auto", LiteLLMModel),
        ("gemini/gemini-2.5-pro", None, "auto", LiteLLMModel),
        ("hosted_vllm/llama3", None, "auto", LiteLLMModel),
        ("hosted_vllm/llama3", "http://127.0.0.1:1/v1", "auto", OpenAIModel),
        ("openai/gpt-4o", None, "litellm", LiteLLMModel),
        ("anthropic/claude-sonnet-4-5", "http://127.0.0.1:1/v1", "openai", OpenAIModel),
    ],
)
async def test_model_name_selects_the_adapter(model: str, host: str | None, adapter: str, kind: type) -> None:
    before = "litellm" in sys.modules
    chosen = choose_model(model, host=host, adapter=adapter)  # type: ignore[arg-type]
    assert type(chosen) is kind
    assert ("litellm" in sys.modules) == before, "LiteLLM is imported when it is first needed, or warmed"
    await chosen.aclose()
