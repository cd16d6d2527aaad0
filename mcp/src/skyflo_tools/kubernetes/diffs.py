"""Render the difference of two versions of an object for people: line by line, with odd characters made visible."""

import difflib
import re
import secrets
from collections.abc import Iterator

import yaml

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at
from skyflo_tools.kubernetes.pruning import comparable
from skyflo_tools.kubernetes.rendering import YamlDumper

CONTEXT = 3
MAX_EXACT = 1_000_000
MAX_COMPARED = 400_000_000
"""Pairs of lines up to which texts are compared exactly, and at all."""
_Opcode = tuple[str, int, int, int, int]
_ANY_WIDTH = 1 << 30
_CONTROL_PICTURES = 0x2400
_LINE_BREAK = re.compile(r"\n|(?<=\r)(?!\n)")
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


def diff_objects(before: JsonObject | None, after: JsonObject | None, title: str) -> list[str]:
    """Return the lines of a unified diff of two versions of an object, which must be redacted; none if they are equal.

    The caller limits them.
    """
    names = (f"{title} (live)" if before else "(absent)", f"{title} (after)" if after else "(deleted)")
    return diff_versions(before, after, names)


def diff_versions(before: JsonObject | None, after: JsonObject | None, names: tuple[str, str]) -> list[str]:
    """Return the lines of a unified diff of two objects, which must be redacted, under these names."""
    hunks = _hunks(*(_lines(body) for body in (before, after)))
    return [f"--- {names[0]}", f"+++ {names[1]}", *hunks] if hunks else []


def _hunks(old: list[str], new: list[str]) -> list[str]:
    """Return the hunks of a unified diff."""
    lines: list[str] = []
    for group in _group(_compare(old, new)):
        (_, old_start, _, new_start, _), (_, _, old_end, _, new_end) = group[0], group[-1]
        lines.append(f"@@ -{_range(old_start, old_end)} +{_range(new_start, new_end)} @@")
        for kind, i1, i2, j1, j2 in group:
            if kind == "equal":
                lines += [f" {line}" for line in old[i1:i2]]
            else:
                lines += [f"-{line}" for line in old[i1:i2]]
                lines += [f"+{line}" for line in new[j1:j2]]
    return lines


def _compare(old: list[str], new: list[str]) -> list[_Opcode]:
    """Compare two texts line by line.

    What both have in common at the beginning and the end is removed first: difflib takes lines that occur often for
    noise, and without that needs quadratic time.
    """
    start, most = 0, min(len(old), len(new))
    while start < most and old[start] == new[start]:
        start += 1
    end = 0
    while end < most - start and old[-1 - end] == new[-1 - end]:
        end += 1
    old_part, new_part = old[start : len(old) - end], new[start : len(new) - end]
    size = len(old_part) * len(new_part)
    if size > MAX_COMPARED:
        opcodes: list[_Opcode] = [("replace", 0, len(old_part), 0, len(new_part))]
    else:
        opcodes = [*difflib.SequenceMatcher(None, old_part, new_part, autojunk=size > MAX_EXACT).get_opcodes()]
    shifted: list[_Opcode] = [
        (kind, i1 + start, i2 + start, j1 + start, j2 + start) for kind, i1, i2, j1, j2 in opcodes
    ]
    before: list[_Opcode] = [("equal", 0, start, 0, start)]
    after: list[_Opcode] = [("equal", len(old) - end, len(old), len(new) - end, len(new))]
    return [opcode for opcode in [*before, *shifted, *after] if opcode[1] < opcode[2] or opcode[3] < opcode[4]]


def _group(opcodes: list[_Opcode]) -> Iterator[list[_Opcode]]:
    """Group the changes, each with a few lines of context."""
    matcher = difflib.SequenceMatcher(None, "", "")
    matcher.opcodes = opcodes  # type: ignore[attr-defined]
    return iter(group for group in matcher.get_grouped_opcodes(CONTEXT) if any(kind != "equal" for kind, *_ in group))


def _range(start: int, end: int) -> str:
    """Return a range of lines as unified diffs write it: counted from one, and an empty one from the line before."""
    count = end - start
    first = start + 1 if count else start
    return f"{first}" if count == 1 else f"{first},{count}"


def make_visible(text: str) -> str:
    """Show characters that a reader can't see or that reorder the text: `␍`, `␉`, `␠` at the end, `<U+202E>`."""
    shown = _ODD.sub(_name, text)
    stripped = shown.rstrip(" ")
    return stripped + "␠" * (len(shown) - len(stripped))


def _name(found: re.Match[str]) -> str:
    code = ord(found.group())
    return chr(_CONTROL_PICTURES + code) if code < 0x20 else f"<U+{code:04X}>"


def _lines(body: JsonObject | None) -> list[str]:
    """Return an object as lines of YAML, in which every line of a text is a line of its own."""
    if body is None:
        return []
    blocks: list[str] = []
    token = f"text-{secrets.token_hex(8)}-"
    marked = _take_blocks(_order_keys(comparable(body)), token, blocks)
    dumped = yaml.dump(marked, Dumper=YamlDumper, sort_keys=False, allow_unicode=True, width=_ANY_WIDTH)
    lines: list[str] = []
    for line in dumped.splitlines():
        before, found, number = line.rpartition(token)
        lines += _expand(before, blocks[int(number)]) if found else [make_visible(line)]
    return lines


def _take_blocks(value: JsonValue, token: str, blocks: list[str]) -> JsonValue:
    """Replace every text of several lines by a token that stands for it."""
    if isinstance(value, list):
        return [_take_blocks(item, token, blocks) for item in value]
    if isinstance(value, dict):
        return {key: _take_blocks(item, token, blocks) for key, item in value.items()}
    if isinstance(value, str) and _LINE_BREAK.search(value):
        blocks.append(value)
        return f"{token}{len(blocks) - 1}"
    return value


def _expand(before: str, text: str) -> list[str]:
    """Return a text as a block of YAML. `|-` says that it does not end with a line break."""
    indent = " " * (len(before) - len(before.lstrip(" -")) + 2)
    lines = _LINE_BREAK.split(text)
    ends_with_break = lines[-1] == ""
    shown = lines[:-1] if ends_with_break else lines
    return [
        f"{before}{'|' if ends_with_break else '|-'}",
        *(f"{indent}{make_visible(line)}".rstrip(" ") for line in shown),
    ]


def _order_keys(body: JsonObject) -> JsonObject:
    """Put apiVersion, kind and metadata first and sort the other keys, so that both versions have the same order."""
    top = ("apiVersion", "kind", "metadata")
    ordered: JsonObject = {key: body[key] for key in top if key in body}
    rest: JsonObject = {key: body[key] for key in sorted(body) if key not in top}
    return object_at({"o": _sort_keys(ordered | rest, keep=True)}, "o")


def _sort_keys(value: JsonValue, *, keep: bool = False) -> JsonValue:
    if isinstance(value, list):
        return [_sort_keys(item) for item in value]
    if isinstance(value, dict):
        keys = list(value) if keep else sorted(value)
        return {key: _sort_keys(value[key]) for key in keys}
    return value
