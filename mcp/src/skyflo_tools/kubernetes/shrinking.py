"""Shorten an object to a size: small fields stay whole, the largest are cut, and each cut is named."""

from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.json_paths import PathParts, format_path
from skyflo_tools.kubernetes.rendering import to_yaml
from skyflo_tools.shortening import left_out_mark, name_some, shorten

MIN_SHARE = 120
"""Bytes below which a part of an item says little: then fewer items are kept, but those whole."""
MAX_CUTS_NAMED = 10
_NOTE_BYTES = 60
_ATTEMPTS = 6


@dataclass(frozen=True)
class Cut:
    """A field that was shortened: its path and its whole size."""

    path: str
    size: str

    def __str__(self) -> str:
        return f"{self.path} ({self.size})" if self.path else f"the whole ({self.size})"


def shrink(value: JsonValue, limit: int, at: PathParts = ()) -> tuple[JsonValue, list[Cut]]:
    """Return the value shortened to about `limit` bytes of YAML, and the cuts, whose paths begin with `at`.

    The largest fields are cut first, wherever they stand, so that the end of an object is as readable as its start.
    Marks stand for what is left out; `find_left_out_mark` keeps them from being written back.
    """
    small, budget = value, limit
    cuts: list[Cut] = []
    for _ in range(_ATTEMPTS):
        shrinker = _Shrinker()
        small, cuts = shrinker.fit(value, budget, at, 0), shrinker.cuts
        size = len(to_yaml(small).encode())
        if size <= limit:
            break
        budget = budget * limit // size - 1  # quoting and escapes made it larger than estimated
    return small, cuts


def describe_cuts(cuts: list[Cut]) -> str:
    """Name the fields that were shortened, and how to read them; empty if there are none."""
    if not cuts:
        return ""
    named = name_some(map(str, cuts), MAX_CUTS_NAMED, "fields")
    return f"\n… shortened: {named}; k8s_get shows one by name and path"


class _Shrinker:
    def __init__(self) -> None:
        self.cuts: list[Cut] = []

    def fit(self, value: JsonValue, budget: int, path: PathParts, depth: int) -> JsonValue:
        if estimate_size(value, depth) <= budget:
            return value
        if isinstance(value, str):
            return self._cut_text(value, budget, path, depth)
        if isinstance(value, dict):
            return self._fit_object(value, budget, path, depth)
        return self._fit_list(value, budget, path, depth) if isinstance(value, list) else value

    def _cut_text(self, text: str, budget: int, path: PathParts, depth: int) -> str:
        short = shorten(text, len(text) * budget // estimate_size(text, depth))
        lines = text.count("\n") + 1
        in_lines = f", {lines} lines" if lines > 1 else ""
        self.cuts.append(Cut(format_path(path), f"{len(text)} characters{in_lines}"))
        return short

    def _fit_object(self, value: JsonObject, budget: int, path: PathParts, depth: int) -> JsonValue:
        keys = list(value)
        overheads = [len(key.encode()) + 2 + 2 * depth for key in keys]
        sizes = [estimate_size(value[key], depth + 1) for key in keys]
        level = fair_share(sizes, budget - sum(overheads))
        if level >= min(MIN_SHARE, max(sizes)):
            return {key: self.fit(value[key], level, (*path, key), depth + 1) for key in keys}
        chosen = _smallest([over + size for over, size in zip(overheads, sizes, strict=True)], budget - _NOTE_BYTES)
        self.cuts.append(Cut(format_path(path), f"{len(keys)} entries"))
        mark: JsonObject = {left_out_mark(len(keys) - len(chosen), "entries"): None}
        return {keys[index]: value[keys[index]] for index in chosen} | mark

    def _fit_list(self, items: list[JsonValue], budget: int, path: PathParts, depth: int) -> JsonValue:
        overhead = 2 + 2 * depth
        sizes = [estimate_size(item, depth + 1) for item in items]
        level = fair_share(sizes, budget - overhead * len(items))
        if level >= min(MIN_SHARE, max(sizes)):
            return [self.fit(item, level, (*path, index), depth + 1) for index, item in enumerate(items)]
        chosen = _both_ends([size + overhead for size in sizes], budget - _NOTE_BYTES)
        self.cuts.append(Cut(format_path(path), f"{len(items)} entries"))
        gap = next((at for at, index in enumerate(chosen) if index != at), len(chosen))
        kept: list[JsonValue] = [items[index] for index in chosen]
        return [*kept[:gap], left_out_mark(len(items) - len(chosen), "entries"), *kept[gap:]]


def estimate_size(value: JsonValue, depth: int) -> int:
    """Estimate the bytes of a value in YAML at a depth of nesting."""
    indent = 2 * depth
    if isinstance(value, str):
        return len(value.encode()) + 1 + ((value.count("\n") + 1) * indent + 2 if "\n" in value else 0)
    if isinstance(value, dict):
        keys = sum(len(key.encode()) + 2 + indent for key in value)
        return 3 + keys + sum(estimate_size(item, depth + 1) for item in value.values())
    if isinstance(value, list):
        return 3 + sum(2 + indent + estimate_size(item, depth + 1) for item in value)
    return len(str(value)) + 1


def fair_share(sizes: list[int], budget: int) -> int:
    """Return the most that each may take so that all fit: small ones take less, the rest share what they leave."""
    left, remaining = budget, len(sizes)
    for size in sorted(sizes):
        share = left // remaining
        if size > share:
            return max(0, share)
        left -= size
        remaining -= 1
    return max(sizes, default=0)


def _smallest(sizes: list[int], budget: int) -> list[int]:
    """Return the indexes of the smallest that fit together."""
    chosen: list[int] = []
    for index in sorted(range(len(sizes)), key=sizes.__getitem__):
        budget -= sizes[index]
        if budget < 0:
            break
        chosen.append(index)
    return sorted(chosen)


def _both_ends(sizes: list[int], budget: int) -> list[int]:
    """Return the indexes of the first and the last items that fit, taken in turn."""
    chosen: list[int] = []
    first, last = 0, len(sizes) - 1
    while first <= last:
        index = first if len(chosen) % 2 == 0 else last
        budget -= sizes[index]
        if budget < 0:
            break
        chosen.append(index)
        first, last = (first + 1, last) if index == first else (first, last - 1)
    return sorted(chosen)
