"""Secrets inside texts that are manifests, or were one before somebody cut or quoted them."""

import re
from collections.abc import Callable

__all__ = ["Mask", "mask_manifest"]

Mask = Callable[[str], str]

_SECRET_KIND = re.compile(r"""\bkind\\{0,3}["']?\s{0,5}:\s{0,5}\\{0,3}["']?Secret(?:List)?\b(?![-.])""")
_DOCUMENT = re.compile(r"(?m)^([+\- ]?---.*\n)")
_JSON_DATA = re.compile(r"""(\\{0,3}["'](?:data|stringData)\\{0,3}["']\s{0,5}:\s{0,5}\{)([^{}]*)""")
_JSON_VALUE = re.compile(r"""(:\s{0,5}\\{0,3}")([^"\\]{1,65536})""")
_LINE = re.compile(
    r"""[+\-]?[ ]{0,200}(?:-[ ]{1,8})?(?P<name>["']?[^\s"':#{}\[\],]{1,253}["']?)[ ]?:(?:[ \t]{1,8}|$)(?P<value>.*)"""
)
_BLOCK = re.compile(r"(?:!\S{1,40}\s+)?[|>][-+0-9]{0,2}\s*(?:#.*)?\Z")
_SCALAR_END = re.compile(r"""\s+#.*\Z""")


def mask_manifest(text: str, mask: Mask, is_secret_name: Callable[[str], bool]) -> str:
    """Masks the values of Kubernetes Secrets and of telling names, in YAML by lines and in JSON by its marks.

    It reads no YAML, so that a cut, a diff or a quoted manifest is masked as well as a whole one.
    """
    parts = _DOCUMENT.split(text)
    return "".join(_mask_document(part, mask, is_secret_name) for part in parts)


def _mask_document(text: str, mask: Mask, is_secret_name: Callable[[str], bool]) -> str:
    holds_secret = bool(_SECRET_KIND.search(text))
    if holds_secret:
        text = _JSON_DATA.sub(lambda match: match.group(1) + _mask_json_values(match.group(2), mask), text)
    if "\n" not in text and ": " not in text:
        return text
    lines = _Lines(mask, is_secret_name, holds_secret)
    return "".join(lines.read(line) for line in text.splitlines(keepends=True)) + lines.rest()


def _mask_json_values(held: str, mask: Mask) -> str:
    return _JSON_VALUE.sub(lambda match: match.group(1) + mask(match.group(2)), held)


class _Lines:
    """Walks the lines of one document and knows whether it is inside a Secret's data or a block scalar to be masked."""

    def __init__(self, mask: Mask, is_secret_name: Callable[[str], bool], holds_secret: bool) -> None:
        self._mask = mask
        self._is_secret_name = is_secret_name
        self._holds_secret = holds_secret
        self._data_at: int | None = None
        self._block_at: int | None = None
        self._block: list[str] = []

    def read(self, line: str) -> str:
        """What to show for this line, with what was held back before it."""
        bare = line.rstrip("\r\n")
        depth = _depth(bare)
        if self._block_at is not None:
            if not bare.strip(" +-") or depth > self._block_at:
                self._block.append(line)
                return ""
            return self.rest() + self._plain(line, bare, depth)
        return self._plain(line, bare, depth)

    def rest(self) -> str:
        """The block scalar that was held back, masked as a whole."""
        held, at = "".join(self._block), self._block_at
        self._block, self._block_at = [], None
        if at is None or not held:
            return ""
        lines = held.splitlines()
        value = "\n".join(line.strip(" ") for line in lines).strip("\n")
        indent = lines[0][: len(lines[0]) - len(lines[0].lstrip("+- "))]
        return f"{indent}{self._mask(value)}\n" if value else held

    def _plain(self, line: str, bare: str, depth: int) -> str:
        found = _LINE.match(bare)
        if self._data_at is not None and bare.strip() and depth <= self._data_at:
            self._data_at = None
        if found is None:
            return line
        name, value = found["name"].strip("\"'"), found["value"]
        inside = self._data_at is not None
        if self._holds_secret and name in ("data", "stringData") and not value.strip():
            self._data_at = depth
            return line
        if not (inside or self._is_secret_name(name)):
            return line
        if _BLOCK.match(value):
            self._block_at = depth
            return line
        return bare[: found.start("value")] + self._masked(value, inside) + line[len(bare) :]

    def _masked(self, value: str, inside: bool) -> str:
        scalar = _SCALAR_END.sub("", value).strip()
        quoted = scalar[:1] if scalar[:1] in "\"'" else ""
        inner = scalar[1:].removesuffix(quoted) if quoted else scalar
        if not inner or inner.startswith("masked, ") or (not inside and _is_plain(inner)):
            return value
        return f"{quoted}{self._mask(inner)}{quoted}"


def _is_plain(value: str) -> bool:
    """Not a secret, whatever its name: nothing, a truth value, a reference, or the start of a structure."""
    return value[0] in "{[$<*&!,(" or value.lower() in ("null", "true", "false", "none", "yes", "no", "~")


def _depth(line: str) -> int:
    """How far the line is indented; a diff's mark and a list's dash count as blanks."""
    return len(line) - len(line.lstrip("+- "))
