"""One streamed call of a language model."""

from collections.abc import AsyncGenerator
from typing import Protocol

from src.api.schemas.model import ModelChunk, ModelRequest, Usage

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

    def estimate_usage(self, request: ModelRequest, received: int) -> Usage:
        """Estimate the tokens and cost of a call that ended before the provider counted them: they are paid for too.

        `received` is the number of characters of text, thinking and tool calls that arrived.
        """
