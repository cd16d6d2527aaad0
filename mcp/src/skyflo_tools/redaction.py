"""What must never leave this process: values of Secrets, tokens, keys, passwords, our own credentials."""

import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from dataclasses import dataclass

from skyflo_tools.jsontypes import JsonObject, JsonValue, canonical, object_at, objects_at, text_at

MASK = "[masked]"
SHORTEST_SECRET = 6

_SECRET_NAME = re.compile(
    r"(?i)(passw(or)?d|passphrase|secret|token|credential|api[-_]?key|access[-_]?key|private[-_]?key|signing[-_]?key)"
)
_NOT_SECRET_NAME = re.compile(r"(?i)(secret[-_]?(name|ref)|name$|path$|file$|url$|ttl|expir|enabled|count|length|max)")
_TOKENS = re.compile(
    r"""
    -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----.*?(?:-----END\ [A-Z ]*PRIVATE\ KEY-----|\Z)
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?          # JSON web tokens
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                                           # AWS
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_[A-Za-z0-9_]{20,}           # GitHub
    | \bglpat-[A-Za-z0-9_-]{16,}                                              # GitLab
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                                          # Slack
    | \bsk-[A-Za-z0-9_-]{16,}                                                 # model providers
    | \bAIza[A-Za-z0-9_-]{30,}                                                # Google
    """,
    re.VERBOSE | re.DOTALL,
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
_URL_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]{0,100}):[^\s:/@]{1,200}@")
_ASSIGNED = re.compile(r"""(?ix)
    ((?:passw(?:or)?d|passphrase|secret|token|credentials?|api[-_]?key|access[-_]?key|private[-_]?key
       |client-key-data|client-certificate-data)["']?[ \t]{0,3}[:=][ \t]{0,3}["']?)
    (?!masked|\[masked\]|null\b|true\b|false\b|\{|\[)([^\s"',;&{}]{6,})
    """)


@dataclass(frozen=True)
class Fingerprints:
    """Keyed fingerprints: they tell whether two values are equal, and nothing to anyone without the key."""

    key: bytes

    def of(self, value: str | bytes) -> str:
        data = value.encode("utf-8", errors="surrogatepass") if isinstance(value, str) else value
        return hmac.new(self.key, data, hashlib.sha256).hexdigest()

    def masked(self, value: bytes) -> str:
        """`masked, 12 bytes, 1f0c5b2a`: what may be shown of a secret value."""
        return f"masked, {len(value)} bytes, {self.of(value)[:8]}"


def is_secret_name(name: str) -> bool:
    """Whether a value under this name is probably a password, a token or a key."""
    return bool(_SECRET_NAME.search(name)) and not _NOT_SECRET_NAME.search(name)


def clean_text(text: str, known: Iterable[str] = ()) -> str:
    """The text without token-looking strings and without the known secrets. Broken characters become U+FFFD."""
    text = text.replace("\x00", "\ufffd").encode("utf-8", errors="replace").decode("utf-8")
    for value in known:
        if len(value) >= SHORTEST_SECRET:
            text = text.replace(value, MASK)
    text = _TOKENS.sub(MASK, text)
    text = _BEARER.sub(rf"\1 {MASK}", text)
    text = _URL_PASSWORD.sub(rf"\1:{MASK}@", text)
    return _ASSIGNED.sub(rf"\1{MASK}", text)


def clean_json(value: JsonValue, known: Iterable[str] = ()) -> JsonValue:
    """`clean_text` over every string of a JSON value, and over the keys that it has."""
    known = tuple(known)
    if isinstance(value, str):
        return clean_text(value, known)
    if isinstance(value, list):
        return [clean_json(item, known) for item in value]
    if isinstance(value, dict):
        return {clean_text(key, known): clean_json(item, known) for key, item in value.items()}
    return value


def mask_object(body: JsonObject, fingerprints: Fingerprints) -> JsonObject:
    """A copy of a Kubernetes object without the values of a Secret and without literal passwords in it."""
    masked = _mask_names(body, fingerprints)
    if not isinstance(masked, dict):
        return {}
    if text_at(body, "kind") == "Secret":
        masked |= _mask_secret(body, fingerprints)
    if isinstance(body.get("items"), list):
        masked["items"] = [mask_object(item, fingerprints) for item in objects_at(body, "items")]
    return masked


def _mask_secret(body: JsonObject, fingerprints: Fingerprints) -> JsonObject:
    """`data` and `stringData` of a Secret. Whatever they hold, nothing of it stays."""
    found: JsonObject = {}
    for field in ("data", "stringData"):
        if isinstance(value := body.get(field), dict):
            found[field] = {key: fingerprints.masked(_secret_bytes(field, item)) for key, item in value.items()}
        elif value is not None:
            found[field] = MASK
    return found


def _secret_bytes(field: str, value: JsonValue) -> bytes:
    text = value if isinstance(value, str) else canonical(value)
    if field == "data":
        try:
            return b64decode(text, validate=True)
        except (Base64Error, ValueError):
            pass  # not base64, so it counts as it stands
    return text.encode("utf-8", errors="surrogatepass")


def _mask_names(value: JsonValue, fingerprints: Fingerprints) -> JsonValue:
    """Masks strings that stand under a telling name, and `value` beside a telling `name` (environment variables)."""
    if isinstance(value, list):
        return [_mask_names(item, fingerprints) for item in value]
    if not isinstance(value, dict):
        return value
    named = is_secret_name(text_at(value, "name"))
    return {
        key: (
            fingerprints.masked(item.encode("utf-8", errors="surrogatepass"))
            if isinstance(item, str) and item and (is_secret_name(key) or (named and key == "value"))
            else _mask_names(item, fingerprints)
        )
        for key, item in value.items()
    }


def secret_values(body: JsonObject) -> list[str]:
    """The values inside a Secret's manifest, in both spellings, so that errors that quote them can be cleaned."""
    plain = [item for item in object_at(body, "stringData").values() if isinstance(item, str)]
    encoded = [item for item in object_at(body, "data").values() if isinstance(item, str)]
    spellings = [*plain, *encoded, *(b64encode(item.encode()).decode() for item in plain)]
    spellings += [_secret_bytes("data", item).decode("utf-8", errors="replace") for item in encoded]
    return [value for value in spellings if len(value) >= SHORTEST_SECRET]
