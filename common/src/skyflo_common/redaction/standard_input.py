"""Redact passwords that a shell command gives another one on its standard input.

`echo x | docker login --password-stdin`, `sudo -S <<< x`, `printf x | base64`, and here-documents.
"""

import re

from skyflo_common.redaction.accounts import is_unlike_a_word
from skyflo_common.redaction.budget import Budget, Mask, matches, replace_matches
from skyflo_common.redaction.masks import MASK, is_shown, starts_with_mask

__all__ = ["redact_standard_input"]

_LONGEST_LINE = 512
_WORD = r"(?:'[^'\n]{0,512}+'|\"(?:[^\"\\\n]|\\.){0,512}\"|[^\s|'\";&<>()\\]{1,512}+)"
_PIPED = re.compile(rf"(?<![A-Za-z0-9_-])(?:echo|printf)((?:[ \t]{{1,8}}+{_WORD}){{1,8}})[ \t]{{0,8}}+\|(?!\|)")
_HERE_STRING = re.compile(rf"<<<[ \t]{{0,8}}+({_WORD})")
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?[ \t]{0,4}[\"']?([A-Z_a-z]{1,20}+)[\"']?([^\n]{0,512}+)\n")
_ARGUMENT = re.compile(_WORD)
_TAKES_PASSWORD = re.compile(
    r"--password-stdin|--with-token|--passphrase-fd|--passphrase-file[= ]-|-stdin-password|(?<!\S)--stdin(?!\S)"
    r"|/dev/stdin|(?<!\S)sudo[ \t][^|;&\n]{0,80}(?:-[A-Za-z]{0,4}S|--stdin)(?!\S)|chpasswd|smbpasswd|cryptsetup"
    r"|(?<!\S)kinit(?!\S)|(?:-pass|-passin|-passout)[ \t]stdin|(?<!\S)secret[ \t]create[ \t]|kubeseal"
    r"|rclone[ \t]obscure|(?<!\S)vault[ \t](?:login|write|kv)[^|;&\n]{0,200}[ \t=]-(?!\S)"
    r"|secrets?[ \t](?:set|put|add)(?!\S)"
)
_BASE64 = re.compile(r"(?<![A-Za-z0-9_.-])(?:base64|openssl[ \t]base64)(?![A-Za-z0-9_.-])")
_ENDS = re.compile(r"\n|;|&&|\|\|")


def redact_standard_input(text: str, mask: Mask, budget: Budget) -> str:
    """Mask what `echo`, `printf`, `<<<` and `<<EOF` give to a command that reads a password."""
    if "|" in text and ("echo" in text or "printf" in text):
        text = replace_matches(_PIPED, text, lambda match: _piped(match, mask), budget)
    if "<<<" in text:
        text = replace_matches(_HERE_STRING, text, lambda match: _here_string(match, mask), budget)
    return _redact_here_documents(text, mask, budget) if "<<" in text else text


def _piped(match: re.Match[str], mask: Mask) -> str:
    start, end = match.end(), min(len(match.string), match.end() + _LONGEST_LINE)
    stop = _ENDS.search(match.string, start, end)
    reader = match.string[start : stop.start() if stop else end]
    is_surely = bool(_TAKES_PASSWORD.search(reader))
    if not is_surely and not _BASE64.search(reader):
        return match.group()
    first = match.start(1) - match.start()
    last = match.end(1) - match.start()
    masks = [found.span() for found in MASK.finditer(match[1])]

    def shown_word(word: re.Match[str]) -> str:
        is_of_mask = any(begin < word.end() and word.start() < behind for begin, behind in masks)
        if is_of_mask and word.group()[0] not in "'\"":
            return word.group()
        return _word(word.group(), mask, is_surely=is_surely, after_user="passwd" in reader)

    shown = _ARGUMENT.sub(shown_word, match[1])
    return match.group()[:first] + shown + match.group()[last:]


def _here_string(match: re.Match[str], mask: Mask) -> str:
    start = max(0, match.start() - _LONGEST_LINE)
    before = match.string[start : match.start()].rpartition("\n")[2]
    is_surely = bool(_TAKES_PASSWORD.search(before))
    if starts_with_mask(match.string, match.start(1)) or (not is_surely and not _BASE64.search(before)):
        return match.group()
    shown = _word(match[1], mask, is_surely=is_surely, after_user="passwd" in before)
    return match.group()[: match.start(1) - match.start()] + shown


def _word(word: str, mask: Mask, *, is_surely: bool, after_user: bool) -> str:
    """One argument with its quotes; options, formats and variables are shown."""
    quote = word[0] if word[0] in "'\"" else ""
    value = word[1:-1] if quote else word
    if len(value) < 3 or is_shown(value) or value.startswith(("%", "`", "{{")) or (not quote and value[0] == "-"):
        return word
    if not is_surely and (any(map(str.isspace, value)) or not is_unlike_a_word(value)):
        return word  # text that is only encoded may be anything
    user, colon, password = value.partition(":") if after_user else ("", "", value)
    shown = f"{user}{colon}{mask(password)}" if password and not is_shown(password) else value
    return f"{quote}{shown}{quote}"


def _redact_here_documents(text: str, mask: Mask, budget: Budget) -> str:
    parts: list[str] = []
    at = 0
    for opening in matches(_HERE_DOCUMENT, text, budget):
        if opening.start() < at:
            continue
        line = text[max(at, opening.start() - _LONGEST_LINE) : opening.start()].rpartition("\n")[2] + opening[2]
        if not _TAKES_PASSWORD.search(line):
            continue
        end = text.find(f"\n{opening[1]}", opening.end() - 1)
        end = end if end >= 0 else len(text)
        value = text[opening.end() : end]
        if value and not is_shown(value):
            parts += [text[at : opening.end()], mask(value)]
            at = end
    return "".join([*parts, text[at:]]) if parts else text
