"""Redact passwords and signatures in URLs and connection strings."""

import re

from skyflo_common.redaction.budget import Budget, Mask, matches, replace_matches
from skyflo_common.redaction.masks import starts_with_mask

__all__ = ["redact_urls"]

_LONGEST_AUTHORITY = 2048
_SHORTEST_TOKEN = 20
_SHORTEST_DSN_KEY = 12
_SLASHES = re.compile(r":(?:\\{0,3}/){2}")
_REST = re.compile(r"[^\s\"'`<>\\]*")
_HOOK = re.compile(
    r"(?:hooks\.slack\.com/(?:services|workflows|triggers)|discord(?:app)?\.com/api/webhooks/[0-9]{1,30}"
    r"|webhook\.office\.com/webhookb2|chat\.googleapis\.com/v1/spaces|api\.telegram\.org)/([A-Za-z0-9/_@:.-]{10,400})"
)
_SIGNATURE = re.compile(
    r"(?<![A-Za-z0-9_-])(?:sig|[Ss]ignature|X-Amz-Signature|X-Amz-Credential|X-Amz-Security-Token|X-Goog-Signature"
    r"|[Ss]ubscription-[Kk]ey|code|key)=([A-Za-z0-9%+/=_.~-]{16,4096})"
)
_ORACLE = re.compile(r"thin:[A-Za-z0-9_.$#-]{1,64}/([^\s\"'`<>@/]{1,256})@")
_GO_ADDRESS = re.compile(r"@(?:tcp|unix|udp)\(")
_LONGEST_GO_CREDENTIALS = 320


def redact_urls(text: str, mask: Mask, budget: Budget) -> str:
    """Mask the passwords of URLs, even ones that hold `@`, webhook paths, and the signatures of signed URLs."""
    if ":/" in text or ":\\" in text:
        text = _redact_authorities(text, mask, budget)
    if "://" in text or ".com/" in text:
        text = replace_matches(_HOOK, text, lambda match: _masked(match, 1, mask), budget)
    if "=" in text:
        text = replace_matches(_SIGNATURE, text, lambda match: _masked(match, 1, mask), budget)
    if "thin:" in text:
        text = replace_matches(_ORACLE, text, lambda match: _masked(match, 1, mask), budget)
    return _redact_go_addresses(text, mask, budget) if "@" in text else text


def _redact_go_addresses(text: str, mask: Mask, budget: Budget) -> str:
    """`user:password@tcp(host)`, as the MySQL driver of Go has it."""
    parts: list[str] = []
    at = 0
    for address in matches(_GO_ADDRESS, text, budget):
        before = text[max(at, address.start() - _LONGEST_GO_CREDENTIALS) : address.start()]
        credentials = re.split(r"[\s\"'`<>=]", before)[-1]
        _, colon, password = credentials.partition(":")
        if colon and password:
            parts += [text[at : address.start() - len(password)], mask(password)]
            at = address.start()
    return "".join([*parts, text[at:]]) if parts else text


def _redact_authorities(text: str, mask: Mask, budget: Budget) -> str:
    parts: list[str] = []
    at = 0
    for slashes in matches(_SLASHES, text, budget):
        start = slashes.end()
        if start < at:
            continue
        rest = _REST.match(text, start, min(len(text), start + _LONGEST_AUTHORITY))
        if rest is None or "@" not in rest.group():
            continue
        span = _secret_part(rest.group())
        if span is None or starts_with_mask(text, start + span[0]):
            continue
        parts += [text[at : start + span[0]], mask(text[start + span[0] : start + span[1]])]
        at = start + span[1]
    return "".join([*parts, text[at:]]) if parts else text


def _secret_part(rest: str) -> tuple[int, int] | None:
    """Where a password stands in what follows `://`: behind the first colon, before the last `@` of the authority."""
    authority = re.split(r"[/?#,]", rest, maxsplit=1)[0]
    end = authority.rfind("@")
    if end < 0:
        end = _end_of_unescaped_password(rest, authority)
    if end < 0:
        return None
    colon = rest.find(":", 0, end)
    if colon < 0:
        return (0, end) if _is_token(rest[:end]) or _is_of_sentry(rest, end) else None
    return (colon + 1, end) if end > colon + 1 else None


def _is_token(user: str) -> bool:
    """Whether what stands alone before the `@` is a token: long, and unlike a name."""
    if len(user) < _SHORTEST_TOKEN:
        return False
    mixed = any(map(str.isdigit, user)) and user.lower() != user != user.upper()
    return user.isalnum() or (mixed and user.replace("-", "").replace("_", "").isalnum())


def _is_of_sentry(rest: str, end: int) -> bool:
    """Whether a URL is a data source name of Sentry: the key stands alone before a host of that name."""
    return end >= _SHORTEST_DSN_KEY and "sentry" in rest[end : end + 256] and any(map(str.isdigit, rest[:end]))


def _end_of_unescaped_password(rest: str, authority: str) -> int:
    """The `@` behind a password that holds `/`, `?`, `#` or a comma, or -1: `host:8080/a@b` has a port there."""
    _, colon, password = authority.partition(":")
    if not colon or password.isdigit() or not password:
        return -1
    end = rest.find("@")
    return end if "://" not in rest[:end] else -1


def _masked(match: re.Match[str], group: int, mask: Mask) -> str:
    start, end = match.start(group) - match.start(), match.end(group) - match.start()
    return match.group()[:start] + mask(match.group(group)) + match.group()[end:]
