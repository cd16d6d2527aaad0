"""Values inside a sentence: numbers of replicas, KEY=value, images, which lines of a log, manifests."""

import re
from dataclasses import dataclass

__all__ = ["Assignment", "LogWish", "assignment", "image", "log_wish", "manifest", "replicas"]

REPLICAS_AT_MOST = 10_000
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n(?P<inside>.*?)(?:```|\Z)", re.DOTALL)
_BARE = re.compile(r"^(?:apiVersion|kind):[ \t]*\S", re.MULTILINE)
_NUMBERS = {
    word: number
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}
_NUMBER = rf"(\d{{1,9}}|{'|'.join(_NUMBERS)})\b"
_BY = re.compile(
    rf"\bby {_NUMBER}|\b(?:add|remove|stop|drop) {_NUMBER}(?: more)?(?: replicas?| pods?| instances?| copies| copy)?|"
    rf"{_NUMBER} (?:more|fewer|less|additional|extra)\b"
)
_TO = re.compile(
    rf"\bto {_NUMBER}|(?:=|--replicas[= ]) ?{_NUMBER}|{_NUMBER} (?:replicas?|instances?|copies|copy|pods?)\b|"
    rf"\breplicas?:? (?:to |= ?)?{_NUMBER}|\bscale (?:\S+ ){{1,4}}{_NUMBER}$"
)
_DOWN = re.compile(r"\b(?:down|fewer|less|remove|decrease|reduce|shrink|lower|drop|stop)\b")
_QUOTABLE = r"\"[^\"]*\"|'[^']*'|`[^`]*`|\S+"
_ASSIGN = re.compile(
    rf"(?i:\b(?:set|add|change|put|update|use|with)\b)[^=]*?[`\"']?(?P<key>[A-Za-z_][\w.-]*)[`\"']?\s*=\s*(?P<value>{_QUOTABLE})"
)
_ASSIGN_TO = re.compile(
    r"(?i:\b(?:set|change|update)\s+(?:the\s+)?(?:(?:key|variable)\s+|value\s+of\s+)?)"
    r"[`\"']?(?P<key>[A-Z][A-Z0-9_]{2,}|[a-z][\w-]*\.[\w.-]*\w)[`\"']?"
    rf"(?P<where>\s+(?:in|of|on)\s+\S+(?:\s+\S+)?)?\s+to\s+(?P<value>{_QUOTABLE})"
)
_IMAGE_NAME = r"[`\"']?(?P<{}>[a-z0-9][\w.-]*(?::\d+(?=/))?(?:/[\w.-]+)*(?::\w[\w.-]*)?(?:@sha256:[0-9a-f]+)?)"
_IMAGE = re.compile(
    rf"(?i)\bimage\b.*?(?:\bto\b|=|\bas\b|\bwith\b)\s*{_IMAGE_NAME.format('to')}|"
    rf"\b(?:to|use|deploy|with)\s+(?:the\s+)?image\s+{_IMAGE_NAME.format('named')}"
)
_TAGGED = re.compile(
    r"(?i)\b(?:update|upgrade|switch|deploy|move|downgrade|change)\b.*?\s[`\"']?(?P<tagged>[a-z0-9][\w.-]*(?::\d+(?=/))?(?:/[\w.-]+)*:[\w][\w.-]*)"
)
_GREP = re.compile(
    r"(?i)(?:\bgrep(?:ping)?(?: for)?|\bcontain(?:s|ing)?|\bmention(?:s|ing)?|\bwith the (?:text|word)|\bmatching|"
    r"\bfilter(?:ed)? (?:by|for|on)|\bsearch(?:ing)?(?: \S+){0,4}? for|\|\s*grep(?: -i)?)\s+"
    r"(?P<text>[`\"'][^`\"']+[`\"']|[^\s,.?!]+)"
)
_TAIL = re.compile(r"(?i)\b(?:last|latest|tail)\s+(\d{1,4})\b|--tail[= ](\d{1,4})|\b(\d{1,4})\s+(?:log\s+)?lines\b")
_PREVIOUS = re.compile(
    r"(?i)\bprevious\b|(?<!\S)-p(?!\S)|\bbefore (?:the|it|its|that) (?:last )?(?:crash|restart|re)|\blast"
    r" (?:run|crash)\b|\bcrashed\b"
)
_ERRORS = re.compile(r"(?i)\berrors?\b|\bexceptions?\b")


@dataclass(frozen=True)
class Assignment:
    """`KEY=value`, and the sentence without it."""

    key: str
    value: str
    rest: str


@dataclass(frozen=True)
class LogWish:
    """Which lines: containing a text, the last so many, of the run before. `rest` is the sentence without that."""

    grep: str
    tail: int
    previous: bool
    rest: str


def manifest(text: str) -> str:
    """Kubernetes YAML or JSON in a message, fenced or bare; empty where there is none."""
    for match in _FENCE.finditer(text):
        if "kind" in match["inside"]:
            return match["inside"].strip() + "\n"
    bare = _BARE.search(text)
    return text[bare.start() :].strip() + "\n" if bare and "\n" in text[bare.start() :].strip() else ""


def replicas(text: str) -> tuple[int | None, int | None]:
    """The wanted number, or by how many more (below zero: fewer)."""
    text = text.lower()
    if match := _BY.search(text):
        by = _number(match)
        return None, -by if _DOWN.search(text) else by
    match = _TO.search(text)
    return (_number(match), None) if match else (None, None)


def assignment(text: str) -> Assignment | None:
    """`set KEY=value in x`, `change KEY in x to value`."""
    match = _ASSIGN.search(text) or _ASSIGN_TO.search(text)
    if match is None or match["key"].lower() in ("image", "replicas", "replica"):
        return None
    where = match.groupdict().get("where") or ""
    rest = f"{text[: match.start()]} {where} {text[match.end() :]}"
    return Assignment(match["key"], _unquoted(match["value"]), rest)


def image(text: str) -> tuple[str, str]:
    """The image that is wanted, and the sentence without it."""
    match = _IMAGE.search(text) or _TAGGED.search(text)
    if match is None:
        return "", text
    name = next(group for group in match.groupdict() if match[group])
    return match[name].rstrip("."), f"{text[: match.start(name)]} {text[match.end(name) :]}"


def log_wish(text: str) -> LogWish:
    grep, rest = "", text
    if match := _GREP.search(text):
        grep, rest = _unquoted(match["text"]), f"{text[: match.start()]} , {text[match.end() :]}"
    elif _ERRORS.search(text):
        grep = "error"
    tail = _TAIL.search(rest)
    lines = int(next(group for group in tail.groups() if group)) if tail else 0
    return LogWish(grep[:200], min(max(lines, 0), 5_000), _PREVIOUS.search(rest) is not None, _TAIL.sub(" ", rest))


def _number(match: re.Match[str]) -> int:
    word = next(group for group in match.groups() if group)
    return min(int(word) if word.isdigit() else _NUMBERS[word], REPLICAS_AT_MOST + 1)


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'`":
        return text[1:-1]
    return text.rstrip(",;")
