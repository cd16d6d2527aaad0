"""The row and the event that record the tokens and cost of one model call."""

from typing import Literal

from src.api.ports import Usage
from src.api.schemas.events import TokenUsage
from src.api.schemas.records import ModelCall, Run

__all__ = ["build_model_call", "build_usage_event", "has_tokens"]


def has_tokens(usage: Usage) -> bool:
    """Return whether the provider reported any tokens."""
    return usage.prompt_tokens + usage.completion_tokens > 0


def build_model_call(call_id: str, run: Run, model: str, usage: Usage, ttft_ms: int | None, now: int) -> ModelCall:
    """Build the row that analytics and budgets count the call by. Cost is stored in billionths of a dollar."""
    cost = None if usage.cost is None else round(usage.cost * 1_000_000_000)
    tokens = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    return ModelCall(call_id, run.id, model[:200], *tokens, cost, ttft_ms, now, run.user_id)


def build_usage_event(source: Literal["main", "title", "summary"], model: str, usage: Usage) -> TokenUsage:
    """Build the event that clients count the call by; `source` says what the call was for."""
    return TokenUsage(
        type="token.usage",
        source=source,
        estimated=usage.source == "estimated",
        model=model,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        cached_tokens=usage.cached_tokens,
        cost=usage.cost,
    )
