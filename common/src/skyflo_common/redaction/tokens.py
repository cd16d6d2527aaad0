"""Redact what looks like a secret by itself: providers' tokens, private keys, hashes, credentials of headers."""

import re
from base64 import b64decode
from binascii import Error as Base64Error

from skyflo_common.redaction.budget import Budget, Mask, matches, replace_matches

__all__ = ["redact_tokens"]

_PEM_BEGIN = re.compile(r"----[- ]BEGIN [A-Za-z0-9 ]{0,40}(?:PRIVATE KEY|Static key V1)(?: BLOCK)?[- ]----")
_PEM_END = re.compile(r"----[- ]END [A-Za-z0-9 ]{0,40}(?:PRIVATE KEY|Static key V1)(?: BLOCK)?[- ]----")
_PUTTY = re.compile(
    r"Private-Lines: [0-9]{1,4}[ ]?\r?\n((?:[+\- \t]{0,80}+[^\s:]{1,128}+\r?\n){1,400}"
    r"(?:[+\- \t]{0,80}+Private-MAC: \S{1,128})?)"
)
_DOCKER_AUTH = re.compile(r"""(?<![A-Za-z0-9_])auth\\{0,3}["'][ ]?:[ ]?\\{0,3}["']([A-Za-z0-9+/]{8,4096}+={0,2})""")
_ENCODED_PEM = re.compile(r"LS0tLS1CRUdJTi[A-Za-z0-9+/]{20,}+={0,2}")
_TOKEN_KINDS = {
    "eyJ": r"[A-Za-z0-9_-]{8,4096}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]++){0,3}",  # JSON web tokens
    "A(?:KIA|SIA|BIA|CCA)": r"[A-Z0-9]{16}(?![A-Za-z0-9])",  # AWS
    "gh[pousr]_": r"[A-Za-z0-9]{20,}+",
    "github_pat_": r"[A-Za-z0-9_]{20,}+",
    "gl(?:pat|dt|rt|cbt|ptt|soat|ft|imt|agent)-": r"[A-Za-z0-9_.-]{16,}+",  # GitLab
    "xox[a-z]-": r"[A-Za-z0-9-]{10,}+",  # Slack
    "xapp-": r"[A-Za-z0-9-]{10,}+",
    "AIza": r"[A-Za-z0-9_-]{30,}+",  # Google
    r"ya29\.": r"[A-Za-z0-9_-]{20,}+",
    "GOCSPX-": r"[A-Za-z0-9_-]{20,}+",
    "sk-": r"(?=[A-Za-z_-]{0,80}[0-9])[A-Za-z0-9_-]{16,}+",  # model providers
    "[srp]k_(?:live|test)_": r"[A-Za-z0-9]{16,}+",  # Stripe
    "whsec_": r"[A-Za-z0-9+/=]{16,}+",
    "sky_": r"[A-Za-z0-9_-]{40,}+",  # our own
    "npm_": r"[A-Za-z0-9]{30,}+",
    "pypi-": r"[A-Za-z0-9_-]{30,}+",
    "dckr_(?:pat|oat)_": r"[A-Za-z0-9_-]{20,}+",
    "hf_": r"[A-Za-z0-9]{20,}+",
    "gsk_": r"[A-Za-z0-9]{20,}+",
    "dop_v1_": r"[a-f0-9]{40,}+",
    r"hv[sbr]\.": r"[A-Za-z0-9_-]{20,}+",  # Vault
    "argocd-": r"(?=[A-Za-z_-]{0,80}[0-9])[A-Za-z0-9_-]{32,}+",
    r"SG\.": r"[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}+",  # SendGrid
    "key-": r"[0-9a-f]{32}(?![A-Za-z0-9])",  # Mailgun
    "SK": r"[0-9a-f]{32}(?![A-Za-z0-9])",  # Twilio
    "shp(?:at|ca|pa|ss)_": r"[A-Fa-f0-9]{32}",
    "lin_api_": r"[A-Za-z0-9]{32,}+",
    "ntn_": r"[A-Za-z0-9]{40,}+",
    "ATATT3x": r"[A-Za-z0-9_=-]{32,}+",
    "dapi": r"[0-9a-f]{32}",  # Databricks
    "gls[ac]_": r"[A-Za-z0-9_]{32,}+",  # Grafana
    "glc_": r"[A-Za-z0-9_+/=]{32,}+",
    "AGE-SECRET-KEY-1": r"[A-Z0-9]{50,}+",
    "pul-": r"[a-f0-9]{40}",
    "NRAK-": r"[A-Z0-9]{27}",
    "sntry[su]_": r"[A-Za-z0-9_+/=-]{32,}+",
    r"dp\.(?:pt|st|ct|sa)\.": r"[A-Za-z0-9._-]{40,}+",  # Doppler
    "[0-9]{8,10}:AA": r"[A-Za-z0-9_-]{33}",  # Telegram
}
_AZURE = re.compile(r"(?<![A-Za-z0-9_~.-])[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,40}")
_HASH = re.compile(r"\$(?:2[abxy]|apr1|argon2(?:id|i|d)|[156y]|pbkdf2-sha(?:256|512))\$[A-Za-z0-9./$=,+-]{16,}+")


def _at_an_edge(prefix: str) -> str:
    """The prefix where no word character stands before it, written so that the search can skip to its first letter."""
    length = prefix.index("]") + 1 if prefix[0] == "[" else 1
    first, rest = prefix[:length], prefix[length:]
    if rest[:1] == "{":
        return f"(?<![A-Za-z0-9_-]){prefix}"
    return f"{first}(?<![A-Za-z0-9_-]{first}){rest}"


_TOKENS = re.compile("|".join(f"{_at_an_edge(prefix)}{rest}" for prefix, rest in _TOKEN_KINDS.items()))
_SCHEME = re.compile(
    r"(?<![A-Za-z0-9_-])(?:[Bb][Ee][Aa][Rr][Ee][Rr]|[Bb][Aa][Ss][Ii][Cc]|[Dd][Ii][Gg][Ee][Ss][Tt]|[Nn]egotiate)"
    r"[ \t]{1,4}"
    r"((?=[A-Za-z._~+/-]{0,256}[0-9=])[A-Za-z0-9._~+/-]{6,}+={0,2}|[A-Za-z]{16,}+(?![ \t]{0,4}[A-Za-z0-9_-]))"
)

_KEY_PART = re.compile(r"""(?<![A-Za-z0-9_])(?:[dkpq]|dp|dq|qi)\\{0,3}"[ ]?:[ ]?\\{0,3}"([A-Za-z0-9_-]{8,4096}+)""")
"""The secret members of a JSON Web Key (RFC 7518), also in a text that is cut."""


def redact_tokens(text: str, mask: Mask, budget: Budget) -> str:
    """Mask everything that is a secret by its look, whatever stands around it."""
    if "----BEGIN " in text or "---- BEGIN " in text:
        text = _redact_private_keys(text, mask, budget)
    if "Private-Lines" in text:
        text = replace_matches(_PUTTY, text, lambda match: _masked_group(match, mask), budget)
    if "auth" in text:
        text = replace_matches(_DOCKER_AUTH, text, lambda match: _masked_auth(match, mask), budget)
    if "kty" in text:
        text = replace_matches(_KEY_PART, text, lambda match: _masked_group(match, mask), budget)
    if "LS0tLS1CRUdJTi" in text:
        text = replace_matches(_ENCODED_PEM, text, lambda match: _masked_pem(match, mask), budget)
    text = replace_matches(_TOKENS, text, lambda match: mask(match.group()), budget)
    if "$" in text:
        text = replace_matches(_HASH, text, lambda match: mask(match.group()), budget)
    if "Q~" in text:
        text = replace_matches(_AZURE, text, lambda match: mask(match.group()), budget)
    lowered = text.lower()
    if any(scheme in lowered for scheme in ("bearer", "basic", "digest", "negotiate")):
        text = replace_matches(_SCHEME, text, lambda match: _masked_group(match, mask), budget)
    return text


def _redact_private_keys(text: str, mask: Mask, budget: Budget) -> str:
    """Private keys from their first line to their last, or to the end of the text."""
    parts: list[str] = []
    at = 0
    for begin in matches(_PEM_BEGIN, text, budget):
        if begin.start() < at:
            continue
        end = next(matches(_PEM_END, text, budget, begin.end()), None)
        until = end.end() if end else len(text)
        parts += [text[at : begin.start()], mask(text[begin.start() : until])]
        at = until
    return "".join([*parts, text[at:]])


def _masked_pem(match: re.Match[str], mask: Mask) -> str:
    """Mask the base64 of a PEM block if its first line names a private key."""
    start = match.group()[:80]
    try:
        head = b64decode(start[: len(start) // 4 * 4])
    except Base64Error:
        return mask(match.group())
    return mask(match.group()) if b"PRIVATE KEY" in head else match.group()


def _masked_auth(match: re.Match[str], mask: Mask) -> str:
    """Mask `name:password` in base64, as Docker's configuration holds it."""
    try:
        return _masked_group(match, mask) if b":" in b64decode(match[1], validate=True) else match.group()
    except Base64Error:
        return match.group()


def _masked_group(match: re.Match[str], mask: Mask) -> str:
    start, end = match.start(1) - match.start(), match.end(1) - match.start()
    return match.group()[:start] + mask(match.group(1)) + match.group()[end:]
