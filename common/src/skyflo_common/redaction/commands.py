"""Redact passwords that programs take without naming them: `redis-cli -a x`, `curl -u joe:x`, `IDENTIFIED BY 'x'`."""

import re
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate, zip_longest

from skyflo_common.redaction.accounts import is_unlike_a_word
from skyflo_common.redaction.budget import Budget, Mask, matches, replace_matches
from skyflo_common.redaction.masks import MASK, is_shown

__all__ = ["redact_arguments_of_commands", "redact_commands"]

_LONGEST_COMMAND = 4096
_IDENTIFIED = re.compile(
    r"(?<![A-Za-z])[Ii][Dd][Ee][Nn][Tt][Ii][Ff][Ii][Ee][Dd][ \t]{1,4}(?:[Ww][Ii][Tt][Hh][ \t]{1,4}\S{1,64}[ \t]{1,4})?"
    r"[Bb][Yy][ \t]{1,4}['\"]([^'\"\n]{1,512})"
)
_NETRC = re.compile(
    r"(?<![A-Za-z])login[ \t\n]{1,8}\S{1,128}[ \t\n]{1,8}(?:(?<=\n)[+-][ \t]{0,8})?password[ \t\n]{1,8}(\S{1,512})"
)
_PROGRAM = (
    r"(?<![A-Za-z0-9_.-])(redis-cli|sshpass|mysql|mariadb|mongo|curl|docker|podman|nerdctl|skopeo|ldapsearch|oc|az"
    r"|vault|openssl|htpasswd|cqlsh|sqlcmd|smbclient|ssh-keygen|zip|unzip|7z|etcdctl|https?|lftp|mosquitto|twine|aws"
    r"|snmp|rabbitmqctl|mc|rclone|crane|doctl)"
    r"(?:-?(?:dump|admin|sh|restore|import|export|walk|get|bulkwalk|_pub|_sub))?"
)
_PROGRAM_ALONE = re.compile(_PROGRAM)
_LONGEST_PROGRAM = 512
_BLANK = re.compile(r"\s")
_COMMAND = re.compile(rf"{_PROGRAM}(?=[ \t]+[^\n])")
_LISTED = re.compile(rf"{_PROGRAM}(?=\\{{0,3}}[\"']?(?:[ \t]{{0,4}}[,\]]|[ \t]{{0,4}}\r?\n))")
_SEPARATOR = re.compile(
    r"""\\{0,3}["']?[ \t]{0,4}(?:,[ \t]{0,4}(?:\r?\n[+\- \t]{0,200}+)?"""
    r"""|\]?[ \t]{0,4}\r?\n(?:(?:[+-]?[ \t]{0,200}+-|-)[ \t]{1,8}+|[+-]?[ \t]{0,200}+args:[ \t]{0,4}(?:\["""
    r"""|\r?\n[+-]?[ \t]{0,200}+-[ \t]{1,8}+)))\\{0,3}(["']?)"""
)
_QUOTED_ITEM = re.compile(r"""[^"'\\\n]{1,512}+""")
_BARE_ITEM = re.compile(r"""[^"'\\\n,\[\]{}]{1,512}+""")
_FROM_LITERAL = re.compile(r"--from-literal[= \t]{1,4}[\"']?[^=\s\"']{1,253}=[\"']?([^\s\"']{1,4096})")
_LOGIN = re.compile(r"(?<!\S)-p[ \t]*(\S+)")
_LARGE_P = re.compile(r"(?<!\S)-P[ \t]*(\S{3,})")
_COLON = re.compile(r"(?<!\S)(?:-a|--auth)[ \t=]+[\"']?[^\s:\"']{1,128}:([^\s\"']+)")
_P_JOINED = re.compile(r"(?<!\S)-p(\S{3,})")
_P_APART = re.compile(r"(?<!\S)-p[ \t]+(\S+)")
_FLAGS = {
    "redis-cli": re.compile(
        r"(?<!\S)(?:-a[ \t]+(\S+)|(?:[Aa][Uu][Tt][Hh]|requirepass|masterauth)[ \t]+[\"']?"
        r"(?=[A-Za-z]*+[^A-Za-z\s\"'])([^\s\"']+))"
    ),
    "sshpass": _LOGIN,
    "mysql": re.compile(r"(?<!\S)(?:-p(\S{3,})|password[ \t]+[\"']?([^\s\"'-]\S*))"),
    "mariadb": _P_JOINED,
    "mongo": _P_APART,
    "curl": re.compile(r"(?<!\S)(?:-u|-U|--user|--proxy-user)[ \t=]*[\"']?[^\s:\"']{0,128}:([^\s\"']+)"),
    "docker": _LOGIN,
    "podman": _LOGIN,
    "nerdctl": _LOGIN,
    "oc": _LOGIN,
    "az": _LOGIN,
    "skopeo": re.compile(r"(?<!\S)--(?:src-|dest-)?creds[ \t=]+[^\s:]{0,128}:(\S+)"),
    "vault": re.compile(r"(?<!\S)login[ \t]+(?!-)([^\s=]+)(?!\S)"),
    "openssl": re.compile(r"(?<!\S)-[kK][ \t]+(\S+)"),
    "htpasswd": re.compile(r"(?<!\S)-[A-Za-z]*b[A-Za-z]*[ \t]+(?:\S+[ \t]+){1,2}(\S+)[ \t]*\Z"),
    "cqlsh": _LOGIN,
    "sqlcmd": _LARGE_P,
    "mosquitto": _LARGE_P,
    "smbclient": re.compile(r"(?<!\S)(?:-U|--user)[ \t=]*[^\s%]{1,128}%(\S+)"),
    "ssh-keygen": re.compile(r"(?<!\S)-[NP][ \t]+[\"']?([^\s\"']+)"),
    "zip": _LARGE_P,
    "unzip": _LARGE_P,
    "7z": _P_JOINED,
    "etcdctl": re.compile(r"(?<!\S)--user[ \t=]+[^\s:]{1,128}:(\S+)"),
    "http": _COLON,
    "https": _COLON,
    "lftp": re.compile(r"(?<!\S)-u[ \t]*[^\s,]{1,128},(\S+)"),
    "twine": _LOGIN,
    "aws": re.compile(r"(?<!\S)set[ \t]+(?:aws_secret_access_key|aws_session_token)[ \t]+(\S+)"),
    "snmp": re.compile(r"(?<!\S)-[cAX][ \t]+(\S+)"),
    "rabbitmqctl": re.compile(r"(?<!\S)(?:add_user|change_password|authenticate_user)[ \t]+\S+[ \t]+(\S+)"),
    "mc": re.compile(
        r"(?<!\S)(?:alias[ \t]+(?:set|add)|config[ \t]+host[ \t]+add)(?:[ \t]+[^\s-]\S*){3}[ \t]+([^\s-]\S*)"
    ),
    "rclone": re.compile(r"(?<!\S)obscure[ \t]+([^\s-]\S*)"),
    "crane": _LOGIN,
    "doctl": re.compile(r"(?<!\S)(?:-t|--access-token)[ \t=]+([^\s-]\S*)"),
    "ldapsearch": re.compile(r"(?<!\S)-w[ \t]+(\S+)"),
}
_NEEDS_LOGIN = frozenset(["docker", "podman", "nerdctl", "oc", "az", "crane"])
_MOST_ITEMS = 64
_SQL_FUNCTION = re.compile(r"(?<![A-Za-z])(?:OLD_)?PASSWORD\([ ]?['\"]([^'\"\n]{1,512})")
_REDIS_USER = re.compile(
    r"(?<![A-Za-z])(?:user|SETUSER|setuser)[ \t]{1,4}\S{1,128}[ \t]{1,4}(?:[a-z-]{1,32}[ \t]{1,4}){0,4}"
    r">([^\s\"']{1,512})"
)
_WITHOUT_OPTION = (
    "vault login", "password ", "add_user", "authenticate_user", "alias set", "host add", "obscure", "configure set",
    "requirepass", "masterauth", "auth ", "AUTH ",
)  # fmt: skip
_ENDS = re.compile(r"[\n|;]|&&")


def redact_commands(text: str, mask: Mask, budget: Budget) -> str:
    """Mask passwords in shell commands, in SQL and in netrc files."""
    if "by" in text or "BY" in text or "By" in text:
        text = replace_matches(_IDENTIFIED, text, lambda match: _masked(match, mask), budget)
    if "login" in text:
        text = replace_matches(_NETRC, text, lambda match: _masked(match, mask), budget)
    if "--from-literal" in text and "secret" in text:
        text = replace_matches(_FROM_LITERAL, text, lambda match: _masked(match, mask), budget)
    if "PASSWORD(" in text:
        text = replace_matches(_SQL_FUNCTION, text, lambda match: _masked(match, mask), budget)
    if ">" in text and ("user" in text or "SETUSER" in text):
        text = replace_matches(
            _REDIS_USER,
            text,
            lambda match: _masked(match, mask) if is_unlike_a_word(match[1]) else match[0],
            budget,
        )
    text = _redact_listed(text, mask, budget)
    if " -" not in text and "\t-" not in text and not any(words in text for words in _WITHOUT_OPTION):
        return text
    parts: list[str] = []
    at = 0
    for found in matches(_COMMAND, text, budget):
        if found.start() < at:
            continue
        limit = min(len(text), found.end() + _LONGEST_COMMAND)
        ends = _ENDS.search(text, found.end(), limit)
        end = ends.start() if ends else limit
        line = text[found.end() : end]
        if found[1] in _NEEDS_LOGIN and " login" not in line:
            continue
        parts += [text[at : found.end()], _FLAGS[found[1]].sub(lambda match: _masked(match, mask), line)]
        at = end
    return "".join([*parts, text[at:]]) if parts else text


def _redact_listed(text: str, mask: Mask, budget: Budget) -> str:
    """Mask passwords in commands that a text writes as a list: `['redis-cli', '-a', 'x']`, or an item a line."""
    parts: list[str] = []
    at = 0
    for program in matches(_LISTED, text, budget):
        if program.start() < at:
            continue
        spans = [program.span(), *_items(text, program.end())]
        items = [text[start:end] for start, end in spans]
        for (start, end), item, shown in zip(spans, items, redact_arguments_of_commands(items, mask), strict=True):
            if shown != item:
                parts += [text[at:start], shown]
                at = end
    return "".join([*parts, text[at:]]) if parts else text


def _items(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Where the items stand that follow the first one of a list in a text."""
    limit = min(len(text), at + _LONGEST_COMMAND)
    for _ in range(_MOST_ITEMS):
        separator = _SEPARATOR.match(text, at, limit)
        if separator is None:
            return
        item = (_QUOTED_ITEM if separator[1] else _BARE_ITEM).match(text, separator.end(), limit)
        if item is None:
            return
        mask_at = text.find("masked, ", item.start(), item.end() + 2)
        mask = MASK.match(text, mask_at) if mask_at >= 0 else None
        at = max(item.end(), mask.end()) if mask else item.end()
        yield item.start(), at


def redact_arguments_of_commands(arguments: list[str], mask: Mask) -> list[str]:
    """Mask passwords in a command that is given as a list of its arguments; wrappers may stand before the program."""
    redacted = list(arguments)
    for start, end, flags in _commands_of(arguments):
        words = [_BLANK.sub("\0", argument) for argument in arguments[start:end]]
        offsets = [0, *accumulate(len(word) + 1 for word in words)]
        for found in flags.finditer(" ".join(words)):
            at = found.start(found.lastindex or 0)
            index = bisect(offsets, at) - 1
            argument, within = arguments[start + index], at - offsets[index]
            if not is_shown(argument, within):
                redacted[start + index] = argument[:within] + mask(argument[within:])
    return redacted


def _commands_of(arguments: list[str]) -> Iterator[tuple[int, int, re.Pattern[str]]]:
    """Where the arguments of each known program begin and end, with the pattern that finds its password."""
    programs = [(at, _program(argument)) for at, argument in enumerate(arguments) if len(argument) <= _LONGEST_PROGRAM]
    known = [(at, program) for at, program in programs if program]
    for (at, program), (end, _) in zip_longest(known, known[1:], fillvalue=(len(arguments), "")):
        if end > at + 1 and (program not in _NEEDS_LOGIN or "login" in arguments[at:end]):
            yield at + 1, end, _FLAGS[program]


def _program(argument: str) -> str:
    found = _PROGRAM_ALONE.fullmatch(argument.rpartition("/")[2])
    return found[1] if found else ""


def _masked(match: re.Match[str], mask: Mask) -> str:
    group = match.lastindex or 0
    value = match.group(group)
    if is_shown(match.string, match.start(group)):
        return match.group()
    start, end = match.start(group) - match.start(), match.end(group) - match.start()
    return match.group()[:start] + mask(value) + match.group()[end:]
