"""Secrets are masked before anything is shown, stored in an event, logged, or given to a model.

A masked value reads `masked, 12 bytes, 1f0c5b2a`: its length and a keyed fingerprint, so that two values can be told
apart by whoever may see them, and nothing can be looked up by whoever has not the key. Masking twice changes nothing.

Every pattern here either starts at a place that can't recur inside its own match or is bounded, so that the time taken
grows with the length of the text and nothing else.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
from collections.abc import Collection, Iterator
from urllib.parse import quote

from src.api.schemas.base import Json, JsonObject
from src.api.utils.manifests import Mask, mask_manifest

__all__ = ["Redactor", "is_secret_name"]

_SHORTEST_SECRET = 6
_DEEPEST = 100
_TOO_DEEP = "[nested too deeply to be shown]"
_MASKED = re.compile(r"masked, \d{1,9} bytes, [0-9a-f]{8}")
_PLAIN = re.compile(
    r"(?i)(?:null|none|true|false|nil|~|yes|no|\*+|<[^<>]{0,80}>|\$\{[^{}]{0,80}\}|\$\([^()]{0,80}\))\Z"
)


def _any_case(pattern: str) -> str:
    """The pattern for either case of its letters, spelt out: several times faster than with the flag."""
    return re.sub("[a-z]", lambda letter: f"[{letter.group()}{letter.group().upper()}]", pattern)


_WORDS = _any_case(
    r"passw(?:or)?d|passphrase|pwd|secret|token|credential|api[-_]?key|access[-_]?key|account[-_]?key|private[-_]?key"
    r"|signing[-_]?key|encryption[-_]?key|auth[-_]?key|client-key-data|client-certificate-data|jwt|webhook[-_]?url"
    r"|authorization|cookie"
)
_HINTS = ("pass", "pwd", "secret", "token", "credential", "key", "client-", "jwt", "webhook", "authorization", "cookie")
_SECRET_NAME = re.compile(_WORDS)
_NOT_SECRET_NAME = re.compile(
    r"(?i)(?:secrets|tokens|names?|refs?|paths?|files?|urls?|uris?|endpoints?|hosts?|kinds?|types?|ttl|count|length|size"
    r"|enabled|algorithm|version|expir\w{0,20}|seconds|minutes|days|policy|class|provider|reviews?|mounts?|volumes?"
    r"|id|ids|keyref)\Z"
)
_STILL_SECRET = re.compile(r"(?i)(?:webhook[-_]?url|access[-_]?key[-_]?id)\Z")

_PEM = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL
)
_TOKEN_KINDS = {
    "eyJ": r"[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]+){0,3}",  # JSON web tokens
    "A(?:KIA|SIA|BIA|CCA)": r"[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
    "gh[pousr]_": r"[A-Za-z0-9]{20,}",
    "github_pat_": r"[A-Za-z0-9_]{20,}",
    "gl(?:pat|dt|rt|cbt|ptt|soat)-": r"[A-Za-z0-9_.-]{16,}",  # GitLab
    "xox[a-z]-": r"[A-Za-z0-9-]{10,}",  # Slack
    "xapp-": r"[A-Za-z0-9-]{10,}",
    "AIza": r"[A-Za-z0-9_-]{30,}",  # Google
    r"ya29\.": r"[A-Za-z0-9_-]{20,}",
    "GOCSPX-": r"[A-Za-z0-9_-]{20,}",
    "sk-": r"[A-Za-z0-9_-]{16,}",  # model providers
    "[srp]k_(?:live|test)_": r"[A-Za-z0-9]{16,}",  # Stripe
    "sky_": r"[A-Za-z0-9_-]{40,}",  # our own
    "npm_": r"[A-Za-z0-9]{30,}",
    "pypi-": r"[A-Za-z0-9_-]{30,}",
    "dckr_pat_": r"[A-Za-z0-9_-]{20,}",
    "hf_": r"[A-Za-z0-9]{20,}",
    "gsk_": r"[A-Za-z0-9]{20,}",
    "dop_v1_": r"[a-f0-9]{40,}",
    r"hv[sbr]\.": r"[A-Za-z0-9_-]{20,}",  # Vault
    "argocd-": r"[A-Za-z0-9_-]{32,}",
}


def _at_an_edge(prefix: str) -> str:
    """The prefix where no word character stands before it, written so that the search can skip to its first letter."""
    length = prefix.index("]") + 1 if prefix[0] == "[" else 1
    first, rest = prefix[:length], prefix[length:]
    return f"{first}(?<![A-Za-z0-9_-]{first}){rest}"


_TOKENS = re.compile("|".join(f"{_at_an_edge(prefix)}{rest}" for prefix, rest in _TOKEN_KINDS.items()))
_SCHEME = re.compile(
    _any_case("((?:bearer|basic|digest|negotiate)")
    + r"[ \t]{1,4})"
    + r"(?!masked,)(?=[A-Za-z._~+/=-]{0,256}[0-9=])([A-Za-z0-9._~+/=-]{6,})"
)
_IN_URL = re.compile(r"(://[^\s:/@\"'<>]{0,128}:)([^\s/@\"'<>]{1,512})(?=@)")
_SLACK_HOOK = re.compile(r"(hooks\.slack\.com/(?:services|workflows|triggers)/)([A-Za-z0-9/_-]{10,200})")
_ASSIGNED = re.compile(
    rf"((?:{_WORDS})[A-Za-z0-9_.-]{{0,40}}+)"
    r"""([\\]{0,3}+["']?[ \t]{0,3}+(?:=>|:=|[:=])[ \t]{0,3}+)(?![\\"']{0,4}masked,)"""
    r"""(?:"((?:[^"\\\n]++|\\.)++)"""  # in quotes, as JSON and shells write them
    r"""|([\\]{1,3}")([^"\n]{1,8192}?)(?=[\\]{1,3}"|\n|\Z)"""  # the same inside of another string
    r"""|'([^'\n]++)"""
    r"""|([^\s"'\\,;&(){}\[\]]{3,8192}+))"""
)
_FLAG = re.compile(rf"""((?:{_WORDS})[A-Za-z0-9-]{{0,20}}+[ \t]{{1,3}}+)(?!masked,)([^\s"'-][^\s"']{{2,4096}}+)""")
_FLAG_BEFORE = re.compile(r"(?:^|[\s\"'])--?[A-Za-z0-9-]{0,30}\Z")


def is_secret_name(name: str) -> bool:
    """Whether a value under this name is likely a password, a token or a key."""
    if _STILL_SECRET.search(name):
        return True
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET_NAME.search(name)


class Redactor:
    """Masks what looks like a secret, what stands where secrets stand, and the values given as `secrets`.

    `key` is the installation's own (32 bytes): fingerprints of one installation say nothing in another. `secrets`
    shorter than six characters are ignored, since masking them would mangle every text.
    """

    def __init__(self, key: bytes, secrets: Collection[str] = ()) -> None:
        self._key = key
        spellings = {
            spelling for secret in secrets if len(secret) >= _SHORTEST_SECRET for spelling in _spellings(secret)
        }
        longest_first = sorted(spellings, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def masked(self, value: str | bytes) -> str:
        """What may be shown of a secret value."""
        data = value.encode("utf-8", errors="surrogatepass") if isinstance(value, str) else value
        return f"masked, {len(data)} bytes, {hmac.new(self._key, data, hashlib.sha256).hexdigest()[:8]}"

    def redact(self, value: Json) -> Json:
        """The same JSON value without secrets. Keys stay where they are; what is nested too deeply is left out."""
        return self._redact(value, 0)

    def redact_text(self, text: str) -> str:
        """The text without secrets: prose, logs, JSON, YAML, command lines, also parts of them."""
        if self._known is not None:
            text = self._known.sub(self._mask_match, text)
        if len(text) < _SHORTEST_SECRET:
            return text
        if "-----BEGIN " in text:
            text = _PEM.sub(self._mask_match, text)
        lowered = text.lower()
        named = any(hint in lowered for hint in _HINTS)
        if named:
            text = mask_manifest(text, self._mask_encoded, is_secret_name)
        text = _TOKENS.sub(self._mask_match, text)
        text = _SCHEME.sub(self._mask_second, text)
        if "://" in text:
            text = _SLACK_HOOK.sub(self._mask_second, _IN_URL.sub(self._mask_second, text))
        return _ASSIGNED.sub(self._mask_assigned, _FLAG.sub(self._mask_flag, text)) if named else text

    def _redact(self, value: Json, depth: int) -> Json:
        if depth > _DEEPEST:
            return _TOO_DEEP
        if isinstance(value, str):
            return self.redact_text(value)
        if isinstance(value, list):
            return [self._redact(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return self._redact_object(value, depth)
        return value

    def _redact_object(self, value: JsonObject, depth: int) -> Json:
        if value.get("kind") in ("Secret", "SecretList"):
            value = _hide_secret(value, self._mask_encoded)
        telling = is_secret_name(str(value.get("name", "")))
        shown: JsonObject = {}
        for name, item in value.items():
            if isinstance(item, str) and (is_secret_name(name) or (telling and name == "value")):
                shown[self.redact_text(name)] = self._mask_value(item)
            else:
                shown[self.redact_text(name)] = self._redact(item, depth + 1)
        return shown

    def _mask_value(self, value: str) -> str:
        if not value or _PLAIN.match(value) or _MASKED.fullmatch(value):
            return value
        return self.masked(value)

    def _mask_encoded(self, value: str) -> str:
        """Masks a value of a Secret; base64 has the fingerprint of what it stands for."""
        if not value or _MASKED.fullmatch(value):
            return value
        try:
            return self.masked(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            return self.masked(value)

    def _mask_match(self, match: re.Match[str]) -> str:
        return self.masked(match.group())

    def _mask_second(self, match: re.Match[str]) -> str:
        return match.group(1) + self._mask_value(match.group(2))

    def _mask_flag(self, match: re.Match[str]) -> str:
        """`--password hunter2`: only where the word belongs to a flag."""
        start = match.start()
        is_flag = _FLAG_BEFORE.search(match.string[max(0, start - 32) : start])
        return self._mask_second(match) if is_flag else match.group()

    def _mask_assigned(self, match: re.Match[str]) -> str:
        name, sign, double, mark, inner, single, bare = match.groups()
        if not is_secret_name(name) or _is_prose(name, sign, bare):
            return match.group()
        opening = mark or ('"' if double else "'" if single else "")
        return f"{name}{sign}{opening}{self._mask_value(double or inner or single or bare)}"


def _is_prose(name: str, sign: str, bare: str | None) -> bool:
    """`unexpected token: something` is a sentence: a bare word after a colon is not taken for a token or secret."""
    return bare is not None and ":" in sign and bare.isalpha() and name.lower() in ("token", "secret", "jwt", "cookie")


def _spellings(secret: str) -> Iterator[str]:
    """The secret as it stands, in JSON, in a URL and in base64."""
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield quote(secret, safe="")
    yield base64.b64encode(secret.encode("utf-8", errors="surrogatepass")).decode()


def _hide_secret(value: JsonObject, mask: Mask) -> JsonObject:
    """A Kubernetes Secret, or a list of them, without its values."""
    hidden = dict(value)
    for name in ("data", "stringData"):
        held = value.get(name)
        if isinstance(held, dict):
            hidden[name] = {key: mask(_text(item)) for key, item in held.items()}
        elif held is not None:
            hidden[name] = mask(_text(held))
    items = value.get("items")
    if isinstance(items, list):
        hidden["items"] = [_hide_secret(item, mask) if isinstance(item, dict) else item for item in items]
    return hidden


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
