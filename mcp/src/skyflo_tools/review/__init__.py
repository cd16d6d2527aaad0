"""Review changes: what to warn of and how risky they are, by their dry runs and not by the tool that makes them."""

from skyflo_tools.review.writes import Review, review_write

__all__ = ["Review", "review_write"]
