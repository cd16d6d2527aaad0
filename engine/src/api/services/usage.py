"""What calls of a model took, as it is counted."""

from src.api.ports import Usage
from src.api.schemas.records import ModelCall

__all__ = ["is_counted", "spent"]


def is_counted(used: Usage) -> bool:
    """Whether anything is known of what the call took."""
    return used.prompt_tokens + used.completion_tokens > 0


def spent(call_id: str, run_id: str, model: str, used: Usage, ttft_ms: int | None, now: int) -> ModelCall:
    """The row by which the call is counted, among all of the installation's."""
    cost = None if used.cost is None else round(used.cost * 1_000_000_000)
    tokens = (used.prompt_tokens, used.completion_tokens, used.cached_tokens)
    return ModelCall(call_id, run_id, model[:200], *tokens, cost, ttft_ms, now)
