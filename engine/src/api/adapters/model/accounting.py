"""Compute the token usage and the cost of model calls."""

from src.api.adapters.model.catalog import ModelCatalog
from src.api.adapters.model.chat_completions import ReportedUsage
from src.api.adapters.model.token_counter import estimate
from src.api.ports import ModelRequest, Usage
from src.api.utils.canonical import canonical

__all__ = ["UsageCalculator"]

CHARACTERS_PER_TOKEN = 3


class UsageCalculator:
    """Compute usage and cost with the catalog's prices."""

    def __init__(self, catalog: ModelCatalog) -> None:
        self._catalog = catalog

    def usage(self, request: ModelRequest, reported: ReportedUsage | None, received: int) -> Usage:
        """Return the provider's token counts with their cost, or estimates if it sent none.

        `received` is the number of characters of text, thinking and tool calls that arrived.
        """
        if reported is not None:
            counts = (reported.prompt_tokens, reported.completion_tokens, reported.cached_tokens)
            return Usage(*counts, self._catalog.cost(request.model, *counts))
        prompt = sum(
            _count_tokens(message.content, *(call.arguments for call in message.calls)) for message in request.messages
        )
        prompt += sum(_count_tokens(tool.name, tool.description, canonical(tool.parameters)) for tool in request.tools)
        completion = -(-received // CHARACTERS_PER_TOKEN)
        return Usage(prompt, completion, 0, self._catalog.cost(request.model, prompt, completion, 0), "estimated")


def _count_tokens(*texts: str) -> int:
    return sum(map(estimate, texts))
