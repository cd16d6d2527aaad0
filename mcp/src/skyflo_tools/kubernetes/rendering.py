"""Text for people and models: YAML, unified diffs, and honest cuts."""

import difflib

import yaml

from skyflo_tools.jsontypes import JsonObject, JsonValue, object_at
from skyflo_tools.kubernetes.pruning import comparable
from skyflo_tools.redaction import Fingerprints, mask_object

TEXT_BYTES = 16 * 1024
DIFF_BYTES = 48 * 1024


class _Dumper(yaml.CSafeDumper):
    """YAML as kubectl writes it: long texts as blocks, no anchors."""

    def ignore_aliases(self, _: object) -> bool:
        return True


def _text(dumper: yaml.CSafeDumper, data: str) -> yaml.ScalarNode:
    style = "|" if "\n" in data else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", data, style=style)


_Dumper.add_representer(str, _text)


def to_yaml(value: JsonValue) -> str:
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def diff(before: JsonObject | None, after: JsonObject | None, title: str, fingerprints: Fingerprints) -> str:
    """The unified diff of two states of an object: noise left out, Secret values masked, bounded."""
    old, new = (_lines(body, fingerprints) for body in (before, after))
    names = (f"{title} (live)" if before else "(absent)", f"{title} (after)" if after else "(deleted)")
    lines = list(difflib.unified_diff(old, new, *names, lineterm="", n=3))
    return bounded_lines(lines, DIFF_BYTES, "diff lines")


def _lines(body: JsonObject | None, fingerprints: Fingerprints) -> list[str]:
    if body is None:
        return []
    return to_yaml(_ordered(comparable(mask_object(body, fingerprints)))).splitlines()


def _ordered(body: JsonObject) -> JsonObject:
    """The usual order at the top, and sorted below, so that both sides read the same."""
    top = ("apiVersion", "kind", "metadata")
    ordered: JsonObject = {key: body[key] for key in top if key in body}
    rest: JsonObject = {key: body[key] for key in sorted(body) if key not in top}
    return object_at({"o": _sorted(ordered | rest, keep=True)}, "o")


def _sorted(value: JsonValue, *, keep: bool = False) -> JsonValue:
    if isinstance(value, list):
        return [_sorted(item) for item in value]
    if isinstance(value, dict):
        keys = list(value) if keep else sorted(value)
        return {key: _sorted(value[key]) for key in keys}
    return value


def bounded_lines(lines: list[str], limit: int, what: str, advice: str = "") -> str:
    """As many of the lines as fit into `limit` bytes; what is left out is counted."""
    kept = fitting(lines, limit)
    if kept == len(lines):
        return "\n".join(lines)
    shown = lines[:kept] or [cut(lines[0], limit)]
    left = len(lines) - len(shown)
    rest = [f"… {left} more {what}" + (f", {advice}" if advice else "")] if left else []
    return "\n".join([*shown, *rest])


def fitting(lines: list[str], limit: int) -> int:
    """How many of the first lines fit into `limit` bytes."""
    size = 0
    for count, line in enumerate(lines):
        size += len(line.encode()) + 1
        if size > limit:
            return count
    return len(lines)


def cut(text: str, limit: int) -> str:
    """The beginning of a text that fits into `limit` bytes, saying how much is missing."""
    data = text.encode()
    if len(data) <= limit:
        return text
    return f"{data[:limit].decode(errors='ignore')}… {len(data) - limit} more bytes"
