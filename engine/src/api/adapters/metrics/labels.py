"""Keep the number of values of a label bounded."""

__all__ = ["OTHER", "BoundedLabel"]

OTHER = "other"


class BoundedLabel:
    """Let the first `most` values of a label through; all others become `other`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) >= self._most:
            return OTHER
        self._known.add(value)
        return value
