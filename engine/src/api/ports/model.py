"""One streamed call of a language model."""

from collections.abc import AsyncGenerator
from typing import Protocol

from src.api.schemas.model import ModelChunk, ModelRequest

__all__ = ["Model"]


class Model(Protocol):
    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """Make one call without retries. Closing the generator closes the connection.

        Raises `ModelError`: `retryable` says whether to repeat it, `retry_after` (s) when the provider accepts that.
        After `ModelContextExceeded`, `context_window` returns a smaller size.
        """

    def context_window(self, model: str) -> int:
        """Return the tokens that fit into one call, prompt and answer together."""

    def count_tokens(self, model: str, text: str) -> int:
        """Count the text's tokens for this model: exactly if its tokenizer is available, else an over-estimate."""
