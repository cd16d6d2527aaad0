"""What a model call used, and how long a text is in tokens."""

from src.api.adapters.model.catalog import Catalog
from src.api.adapters.model.tokens import estimate
from src.api.adapters.model.wire import RawUsage
from src.api.ports import ModelRequest, Usage

__all__ = ["Accountant"]

CHARACTERS_PER_TOKEN = 3


class Accountant:
    """Counts and prices for the models of the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def usage(self, request: ModelRequest, reported: RawUsage | None, heard: int) -> Usage:
        """The provider's figures with their cost; where it sent none, estimated ones from what went out and came in.

        `heard` is how many characters of text, thinking and calls came back.
        """
        if reported is not None:
            counts = (reported.prompt_tokens, reported.completion_tokens, reported.cached_tokens)
            return Usage(*counts, self._catalog.cost(request.model, *counts))
        prompt = sum(
            _size(message.content, *(call.arguments for call in message.calls)) for message in request.messages
        )
        completion = -(-heard // CHARACTERS_PER_TOKEN)
        return Usage(prompt, completion, 0, self._catalog.cost(request.model, prompt, completion, 0), "estimated")


def _size(*texts: str) -> int:
    return sum(map(estimate, texts))
