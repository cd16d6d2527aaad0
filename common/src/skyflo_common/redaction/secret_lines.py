"""Redact the values of Kubernetes Secrets in texts that are no longer whole YAML or JSON: cut, quoted, or a diff."""

import re
from itertools import pairwise

from skyflo_common.redaction.budget import Budget, Mask, matches
from skyflo_common.redaction.masks import starts_with_mask

__all__ = ["redact_secret_documents"]

_SECRET_KIND = re.compile(r"""\bkind\\{0,3}["']?[ \t]{0,5}:[ \t]{0,5}\\{0,3}["']?Secret(?:List)?(?![A-Za-z0-9_.-])""")
_DOCUMENT_END = re.compile(r"(?m)^[+\- ]?---(?=[ \t\r\n]|\Z)")
_FLOW = re.compile(r"""(?<![A-Za-z0-9_])\\{0,3}["']?(?:data|stringData)\\{0,3}["']?[ \t]{0,5}:\s{0,5}\{""")
_FLOW_END = re.compile(r"[{}]")
_FLOW_VALUE = re.compile(r"""(:[ \t]{0,5}(\\{0,3}"))([^"\\]{1,65536}+)""")
_DATA = re.compile(r"""\A([+\- ]*+)["']?(?:data|stringData)["']?[ ]?:[ \t]*(?:#.*)?\r?\Z""")
_FIELD = re.compile(r"""\A([+\- ]*+["']?[A-Za-z0-9._-]{1,253}["']?[ ]?:[ \t]*)(.*)""")


def redact_secret_documents(text: str, mask: Mask, budget: Budget) -> str:
    """Mask `data` and `stringData` in every document of the text whose kind is Secret."""
    if "Secret" not in text or next(matches(_SECRET_KIND, text, budget), None) is None:
        return text
    ends = [match.start() for match in matches(_DOCUMENT_END, text, budget)]
    bounds = [0, *(end for end in ends if end), len(text)]
    parts = [text[start:end] for start, end in pairwise(bounds)]
    return "".join(_redact_document(part, mask, budget) for part in parts)


def _redact_document(text: str, mask: Mask, budget: Budget) -> str:
    if next(matches(_SECRET_KIND, text, budget), None) is None:
        return text
    text = _redact_flows(text, mask, budget)
    lines = _Lines(mask)
    parts: list[str] = []
    for number, line in enumerate(text.splitlines(keepends=True)):
        if number % 256 == 0:
            budget.check()
        parts.append(lines.read(line))
    return "".join([*parts, lines.rest()])


def _redact_flows(text: str, mask: Mask, budget: Budget) -> str:
    """Data between braces. Where a value holds a brace itself, the rest of the line is masked."""
    parts: list[str] = []
    at = 0
    for opening in matches(_FLOW, text, budget):
        if opening.start() < at:
            continue
        brace = _FLOW_END.search(text, opening.end())
        end = brace.start() if brace else len(text)
        if brace is not None and brace.group() == "{":
            line_end = text.find("\n", end)
            end = line_end if line_end >= 0 else len(text)
            shown = mask(text[opening.end() : end])
        else:
            shown = _redact_flow(text[opening.end() : end], mask)
        parts += [text[at : opening.end()], shown]
        at = end
    return "".join([*parts, text[at:]])


def _redact_flow(held: str, mask: Mask) -> str:
    """The members between the braces: JSON keeps its keys, anything else is masked as a whole."""
    if not held.strip() or starts_with_mask(held.strip()):
        return held
    if _FLOW_VALUE.search(held) is None:
        return mask(held)
    return _FLOW_VALUE.sub(lambda match: match[1] + _mask_once(match[3], mask), held)


def _mask_once(value: str, mask: Mask) -> str:
    return value if starts_with_mask(value) else mask(value)


class _Lines:
    """Goes through the lines of a Secret and keeps in mind whether it is inside of `data`, and in which field of it."""

    def __init__(self, mask: Mask) -> None:
        self._mask = mask
        self._data_depth: int | None = None
        self._field_depth = -1
        self._opening = ""
        self._held: list[str] = []

    def read(self, line: str) -> str:
        """Return what to show up to this line; a field is held back until its last line."""
        bare = line.rstrip("\r\n")
        depth = _depth(bare)
        is_blank = not bare.strip(" +-")
        if self._data_depth is not None and not is_blank and depth <= self._data_depth:
            ended = self.rest()
            self._data_depth = None
            return ended + self._outside(line, bare, depth)
        if self._data_depth is None:
            return self._outside(line, bare, depth)
        if self._opening and (is_blank or depth > self._field_depth):
            self._held.append(line)
            return ""
        if is_blank or bare.strip() in ("{", "}"):
            return self.rest() + line
        return self.rest() + self._begin_field(line, bare, depth)

    def rest(self) -> str:
        """Return the field that was held back, masked."""
        opening, held = self._opening, "".join(self._held)
        self._opening, self._held = "", []
        if not opening:
            return ""
        value = "\n".join(line.strip(" +-") for line in held.splitlines()).strip()
        comma = "," if value.endswith(",") else ""
        value = value.removesuffix(",")
        quote = value[:1] if value[:1] in ("'", '"') and value.endswith(value[:1]) and len(value) > 1 else ""
        inner = value[1:-1] if quote else value
        newline = "\n" if held.endswith("\n") else ""
        if not inner:
            return f"{opening}{held}"
        return f"{opening}{quote}{_mask_once(inner, self._mask)}{quote}{comma}{newline}"

    def _outside(self, line: str, bare: str, depth: int) -> str:
        if _DATA.match(bare) or (bare.rstrip().endswith("{") and _DATA.match(bare.rstrip()[:-1])):
            self._data_depth = depth
        return line

    def _begin_field(self, line: str, bare: str, depth: int) -> str:
        found = _FIELD.match(bare)
        self._field_depth = depth
        self._opening = found[1] if found else bare[:depth]
        self._held = [line[len(self._opening) :]]
        return ""


def _depth(line: str) -> int:
    """How far the line is indented; a diff's mark and a list's dash count as blanks."""
    return len(line) - len(line.lstrip("+- "))
