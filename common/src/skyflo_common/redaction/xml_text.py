"""Redact secrets in XML: elements and attributes with a secret's name, and pairs such as `<key>..</key><string>..`."""

import re

from skyflo_common.redaction.budget import Budget, Mask, matches, replace_matches
from skyflo_common.redaction.masks import starts_with_mask
from skyflo_common.redaction.names import is_plain_value, is_secret_name

__all__ = ["redact_xml"]

_BLANKS = r"(?:\s|\\{1,3}[nt]|(?<=\n)[+-]){0,200}"
_ATTRIBUTE = r"""[A-Za-z_][A-Za-z0-9_.:-]{0,63}+=\\{0,3}(?:"[^"<>]{0,512}+"|'[^'<>]{0,512}+')"""
_ELEMENT = re.compile(
    rf"<(?:[A-Za-z_][A-Za-z0-9_.-]{{0,63}}:)?([A-Za-z_][A-Za-z0-9_.-]{{0,127}}+)((?:\s{{1,80}}+{_ATTRIBUTE}){{0,8}})"
    r"\s{0,80}+/?>"
)
_NAMING = re.compile(r"""\s(?:name|key|id|property|[A-Za-z]{1,16}:name)=\\{0,3}["']([^"'<>\\]{1,128})""")
_VALUE = re.compile(r"""\s(?:value|content|val)=\\{0,3}["']([^"'<>\\]{3,512})""")
_SPACE = re.compile(_BLANKS)
_CDATA, _CDATA_END, MAX_CONTENT = "<![CDATA[", "]]>", 4_096
_PAIR = re.compile(
    rf"<(?:name|key)>[ ]{{0,8}}([^<>\s]{{1,128}}+)[ ]{{0,8}}</(?:name|key)>{_BLANKS}"
    r"<(?:value|string)>([^<>]{1,4096}+)</"
)


def redact_xml(text: str, mask: Mask, budget: Budget) -> str:
    """Mask what elements and attributes of XML hold under a secret's name."""
    if "<" not in text or ("</" not in text and "/>" not in text):
        return text
    parts: list[str] = []
    at = 0
    for element in matches(_ELEMENT, text, budget):
        names = [element[1], *_NAMING.findall(element[2])]
        name = next((each for each in names if is_secret_name(each)), "")
        if element.start() < at or not name:
            continue
        value = _VALUE.search(text, element.start(2), element.end(2)) if name == element[1] else None
        content = None if element.group().endswith("/>") else _find_content(text, element.end())
        for start, end in filter(None, (value and value.span(1), content)):
            if not _is_harmless(name, shown := text[start:end].strip()):
                parts += [text[at:start], mask(shown)]
                at = end
    text = "".join([*parts, text[at:]]) if parts else text
    return replace_matches(_PAIR, text, lambda match: _pair(match, mask), budget) if "</" in text else text


def _find_content(text: str, at: int) -> tuple[int, int] | None:
    """Return where the text of the element that opens before `at` begins and ends, if it holds nothing but text."""
    start = _skip_blanks(text, at)
    if text.startswith(_CDATA, start):
        start += len(_CDATA)
        end = text.find(_CDATA_END, start, start + MAX_CONTENT + len(_CDATA_END))
        closing = _skip_blanks(text, end + len(_CDATA_END))
    else:
        closing = end = text.find("<", start, start + MAX_CONTENT + 1)
    is_text = start < end and ">" not in text[start:end] and "<" not in text[start:end]
    return (start, end) if is_text and text.startswith("</", closing) else None


def _skip_blanks(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _pair(match: re.Match[str], mask: Mask) -> str:
    value = match[2].strip()
    if not is_secret_name(match[1]) or _is_harmless(match[1], value):
        return match.group()
    start, end = match.start(2) - match.start(), match.end(2) - match.start()
    return match.group()[:start] + mask(value) + match.group()[end:]


def _is_harmless(name: str, value: str) -> bool:
    return len(value) < 3 or starts_with_mask(value) or is_plain_value(name, value)
