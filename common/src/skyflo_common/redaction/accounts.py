"""Redact passwords and keys that prose and lines of files put behind an account or behind a name of two words.

`log in with admin/x`, `user joe with password x`, `the API key is x`, lines of `.pgpass`, of
`ipsec.secrets` and of JAAS, and Redis' `AUTH`.
"""

import re

from skyflo_common.redaction.budget import Budget, Mask, replace_matches
from skyflo_common.redaction.masks import is_shown
from skyflo_common.redaction.names import is_secret_name, word_set

__all__ = ["is_unlike_a_word", "redact_accounts"]

_SHORTEST = 6
_LOGIN = re.compile(
    r"(?i)(?<![a-z])(?:log(?:ged|ging)?[ -]?[io]n|sign(?:ed|ing)?[ -]?in|credentials?|creds|authentication"
    r"|user(?:name)?/pass(?:word)?)"
    r"(?:[ \t:=]{1,3}(?:failed|is|are|as|with|using|for|by|the|user|username|account|default)(?=[ \t:=])){0,5}"
    r"[ \t:=]{1,3}[\"'`(]?([a-z][a-z0-9_@-]{0,63})(?:[ ]?/[ ]?|:)([^\s\"'`<>,;()/]{4,128})"
)
_WITH_PASSWORD = re.compile(
    r"(?i)(?<![a-z])(?:user|username|login|account)[ \t:=]{1,3}[^\s,]{1,64}[ \t,]{1,3}"
    r"(?:(?:and|with)[ \t]{1,3})?(?:the[ \t]{1,3})?(?:password|passwd|pass)[ \t]{1,3}([^\s\"'`<>,;()]{4,128})"
)
_NAMED_KEY = re.compile(
    r"(?i)(?<![a-z0-9_-])(?:(?:api|access|secret|private|pre-?shared|shared|signing|encryption|licen[cs]e|account"
    r"|storage|master|admin|auth)[ \t]key(?:[ \t]{0,4}[:=]|[ \t]{1,4}(?:is|was)(?:[ \t]set[ \t]to)?:?)"
    r"|pre-?shared[ \t]key)[ \t]{1,4}[\"'`]?([^\s\"'`<>,;()]{6,512})"
)
_PGPASS = re.compile(
    r"(?<![^\s\"'+-])(?=[0-9]{0,3}+[A-Za-z.*])[A-Za-z0-9_.*-]{1,253}:(?:[1-9][0-9]{3,4}|\*):[A-Za-z0-9_.*$-]{1,64}"
    r":[A-Za-z0-9_.*@$-]{1,64}:"
    r"([^\s\"'`]{3,512})"
)
_HARDWARE_ADDRESS = re.compile(r"\A[0-9a-fA-F:.]+\Z")
_IPSEC = re.compile(r"(?<![^\s:])(?:PSK|XAUTH|EAP)[ \t]{1,8}\"([^\"\n]{1,512})\"")
_JAAS = re.compile(r"(?<![A-Za-z0-9_])user_[A-Za-z0-9_.-]{1,64}[ ]?=[ ]?\\{0,3}\"([^\"\\\n]{1,512})")
_REDIS_AUTH = re.compile(
    r"(?m)^[+\- \t>$]{0,80}+AUTH[ \t]{1,4}(?:[^\s]{1,64}[ \t]{1,4})?([^\s\"']{3,512})[ \t]{0,8}$"
    r"|\"(?:AUTH|auth)\"(?:[ ]\"[^\"\n]{1,64}\")?[ ]\"(?=[^\"\n]{1,512}\"(?![ ]\"))([^\"\n]{1,512})\""
)
_DIRECTIVE = re.compile(
    r"(?m)^[+\- \t#]{0,80}+(?:stats[ ]auth[ ][^\s:]{1,64}:|sentinel[ ]auth-pass[ ]\S{1,64}[ ]"
    r"|d-i[ ]\S{1,64}password[ ]password[ ]|\"[^\"\s]{1,64}\"[ ]\"(?=[^\"\n]{3,512}\"[ \t]{0,8}$))([^\s\"]{3,512})"
)
_ARGUMENTS = re.compile(
    r"[({][ ]?\\{0,3}[\"']?([A-Za-z0-9_.-]{3,128})\\{0,3}[\"']?[ ]?,[ ]?(?:<<)?\\{0,3}[\"']([^\"'\\\s]{3,512})[\\\"']"
)
_ACCOUNTS = word_set("admin administrator root superuser guest sa system postgres elastic user test")
_NO_KEY = re.compile(
    r"(?i)\A(?:v?\d+(?:[.-]\w+)*|(?:\d+[ydhms])+|ssh-\S+|sha\d+:\S+|[./~]\S*|\S+\.(?:pem|key|crt|pub|json|ya?ml|txt))\Z"
)


def redact_accounts(text: str, mask: Mask, budget: Budget) -> str:
    """Mask passwords that stand next to an account's name, and keys behind a name of two words."""
    return _redact_prose(_redact_files(text, mask, budget), mask, budget)


def _redact_files(text: str, mask: Mask, budget: Budget) -> str:
    """Mask passwords in lines of configuration files and of Redis' protocol."""

    def in_line_of_pgpass(match: re.Match[str]) -> str:
        is_secret = is_unlike_a_word(match[1]) and not _HARDWARE_ADDRESS.match(match[0])
        return _masked(match, 1, mask) if is_secret else match.group()

    def of_redis(match: re.Match[str]) -> str:
        return _masked(match, 2, mask) if match[1] is None else _unlike_a_word(match, mask)

    text = replace_matches(_DIRECTIVE, text, lambda match: _unlike_a_word(match, mask), budget)
    if "LoginModule" in text:
        text = replace_matches(_JAAS, text, lambda match: _masked(match, 1, mask), budget)
    if "AUTH" in text or '"auth"' in text:
        text = replace_matches(_REDIS_AUTH, text, of_redis, budget)
    if ":" in text:
        text = replace_matches(_PGPASS, text, in_line_of_pgpass, budget)
    return replace_matches(_IPSEC, text, lambda match: _masked(match, 1, mask), budget) if '"' in text else text


def _redact_prose(text: str, mask: Mask, budget: Budget) -> str:
    """Mask passwords and keys that sentences and calls announce."""

    def behind_account(match: re.Match[str]) -> str:
        is_secret = is_unlike_a_word(match[2]) if match[1].lower() in _ACCOUNTS else _is_mixed(match[2])
        return _masked(match, 2, mask) if is_secret else match.group()

    def in_call(match: re.Match[str]) -> str:
        return _masked(match, 2, mask) if is_secret_name(match[1]) and is_unlike_a_word(match[2]) else match.group()

    if "(" in text or "{" in text:
        text = replace_matches(_ARGUMENTS, text, in_call, budget)
    if "/" in text or ":" in text:
        text = replace_matches(_LOGIN, text, behind_account, budget)
    lowered = text.lower()
    if " pass" in lowered or "\tpass" in lowered:
        text = replace_matches(_WITH_PASSWORD, text, lambda match: _unlike_a_word(match, mask), budget)
    if " key" in lowered or "\tkey" in lowered:
        text = replace_matches(_NAMED_KEY, text, lambda match: _unlike_a_word(match, mask), budget)
    return text


def _unlike_a_word(match: re.Match[str], mask: Mask) -> str:
    return _masked(match, 1, mask) if is_unlike_a_word(match[1]) else match.group()


def is_unlike_a_word(value: str) -> bool:
    """Tell whether a bare value that no sign announces is a password: letters and digits, no version, no file."""
    value = value.rstrip(".:")
    is_mixed = any(map(str.isdigit, value)) and any(map(str.isalpha, value))
    return len(value) >= _SHORTEST and is_mixed and not _NO_KEY.match(value)


def _is_mixed(value: str) -> bool:
    """Whether a value is a password even behind a name that need not be an account: `team/app-2` is not one."""
    has_cases = value.lower() != value != value.upper()
    return is_unlike_a_word(value) and (has_cases or any(sign in value for sign in "!#$%^&*+=?~"))


def _masked(match: re.Match[str], group: int, mask: Mask) -> str:
    value = match.group(group).rstrip(".:")
    if value.startswith("{{") or is_shown(match.string, match.start(group)):
        return match.group()
    start = match.start(group) - match.start()
    return match.group()[:start] + mask(value) + match.group()[start + len(value) :]
