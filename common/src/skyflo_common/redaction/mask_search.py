"""Find masks that come back in a tool call's arguments, so that none is ever written to a cluster."""

import re
from collections.abc import Iterator

from skyflo_common.jsontypes import Json
from skyflo_common.redaction.budget import Budget, Exhausted
from skyflo_common.redaction.masks import text_holds_mask
from skyflo_common.redaction.yaml_text import DEEPEST, Unreadable, looks_structured, read_documents

__all__ = ["contains_mask"]

_PLAIN_KEY = re.compile(r"\A[A-Za-z_][A-Za-z0-9_-]{0,62}\Z")
_LONGEST_KEY = 80
_DEEPEST_NESTING = 4


def contains_mask(value: Json) -> str | None:
    """Return the path of a mask in a value, such as `manifests: metadata.annotations["a.b/c"]`, or None.

    Searches keys, values, base64, and texts that are YAML or JSON by their meaning. A text that can't be parsed is
    searched literally. Raises Exhausted for a value beyond the bounds of `Budget`.
    """
    return next(_places(value, "", Budget(), 0, 0), None)


def _places(value: Json, path: str, budget: Budget, depth: int, nesting: int) -> Iterator[str]:
    budget.count_node()
    if depth > DEEPEST:
        raise Exhausted
    if isinstance(value, str):
        yield from _places_in_text(value, path, budget, nesting)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _places(item, f"{path}[{index}]", budget, depth + 1, nesting)
    elif isinstance(value, dict):
        for key, item in value.items():
            below = _below(path, key)
            if text_holds_mask(key):
                yield below
            yield from _places(item, below, budget, depth + 1, nesting)


def _places_in_text(text: str, path: str, budget: Budget, nesting: int) -> Iterator[str]:
    if nesting < _DEEPEST_NESTING and looks_structured(text):
        try:
            documents = read_documents(text, budget)
        except Unreadable:
            documents = []
        several = len(documents) > 1
        for number, document in enumerate(documents, 1):
            if isinstance(document, dict | list):
                inside = f"{path}, document {number}: " if several else f"{path}: "
                yield from _places(document, inside, budget, 0, nesting + 1)
    if text_holds_mask(text):
        yield path


def _below(path: str, key: str) -> str:
    if not _PLAIN_KEY.match(key):
        return f'{path}["{key[:_LONGEST_KEY]}"]'
    return f"{path}.{key}" if path and not path.endswith(": ") else f"{path}{key}"
