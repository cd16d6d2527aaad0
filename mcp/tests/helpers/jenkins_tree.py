"""Jenkins' `tree` parameter: `a,b[c,d]{0,5}` chooses fields, and ranges of lists."""

import re
from typing import Any

Json = dict[str, Any]
Chosen = dict[str, tuple["Chosen", slice]]
_NAME = re.compile(r"[A-Za-z_*][\w*]*")
_RANGE = re.compile(r"\{(\d*)(,?)(\d*)\}")


def prune(bean: Json, tree: str) -> Json:
    chosen, _ = _parse(tree, 0)
    return dict(_cut(bean, chosen))


def _parse(tree: str, at: int) -> tuple[Chosen, int]:
    chosen: Chosen = {}
    while (name := _NAME.match(tree, at)) is not None:
        at, inner = name.end(), {}
        if tree[at : at + 1] == "[":
            inner, at = _parse(tree, at + 1)
            at += 1
        found = _RANGE.match(tree, at)
        if found:
            at = found.end()
        chosen[name[0]] = (inner, _slice(found))
        if tree[at : at + 1] != ",":
            break
        at += 1
    return chosen, at


def _slice(found: re.Match[str] | None) -> slice:
    if found is None:
        return slice(None)
    if not found[2]:
        return slice(int(found[1]), int(found[1]) + 1)
    return slice(int(found[1] or 0), int(found[3]) if found[3] else None)


def _cut(value: Any, chosen: Chosen) -> Any:
    """Keep the chosen names; unknown ones are ignored without a word, and `_class` stays always."""
    if isinstance(value, list):
        return [_cut(item, chosen) for item in value]
    if not isinstance(value, dict):
        return value
    kept: Json = {"_class": value["_class"]} if "_class" in value else {}
    for name, inner in value.items():
        if (found := chosen.get(name) or chosen.get("*")) is not None:
            kept[name] = _cut(inner[found[1]] if isinstance(inner, list) else inner, found[0])
    return kept
