"""Read values inside a sentence: numbers, the wanted lines of a log, manifests."""

import re
from dataclasses import dataclass

__all__ = ["NUMBER_WORDS", "LogFilter", "log_filter", "manifest", "number"]

_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n(?P<inside>.*?)(?:```|\Z)", re.DOTALL)
_BARE = re.compile(r"^(?:apiVersion|kind):[ \t]*\S", re.MULTILINE)
NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
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
class LogFilter:
    """Which log lines to show. `tail` is 0 where no number is given; `rest` is the sentence without the filter."""

    grep: str
    tail: int
    previous: bool
    rest: str


def number(word: str) -> int:
    """Read digits or one of `NUMBER_WORDS`."""
    return int(word) if word.isdigit() else NUMBER_WORDS.index(word.lower())


def manifest(text: str) -> str:
    """Return the Kubernetes YAML or JSON in a message, fenced or bare, or an empty string."""
    for match in _FENCE.finditer(text):
        if "kind" in match["inside"]:
            return match["inside"].strip() + "\n"
    bare = _BARE.search(text)
    return text[bare.start() :].strip() + "\n" if bare and "\n" in text[bare.start() :].strip() else ""


def log_filter(text: str) -> LogFilter:
    """Read which log lines a sentence asks for."""
    grep, rest = "", text
    if match := _GREP.search(text):
        grep, rest = _unquoted(match["text"]), f"{text[: match.start()]} , {text[match.end() :]}"
    elif _ERRORS.search(text):
        grep = "error"
    tail = _TAIL.search(rest)
    lines = int(next(group for group in tail.groups() if group)) if tail else 0
    return LogFilter(grep[:200], min(max(lines, 0), 5_000), _PREVIOUS.search(rest) is not None, _TAIL.sub(" ", rest))


def _unquoted(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'`":
        return text[1:-1]
    return text.rstrip(",;")
