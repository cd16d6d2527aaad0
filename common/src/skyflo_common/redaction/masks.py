"""The form of a mask, keyed fingerprints, and the search for masks in a text."""

import binascii
import hashlib
import hmac
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass

__all__ = [
    "MASK",
    "TOO_DEEP",
    "TOO_LARGE",
    "Fingerprints",
    "is_mask",
    "is_shown",
    "starts_with_mask",
    "text_holds_mask",
]

TOO_DEEP = "masked, nested too deeply"
TOO_LARGE = "masked, too large to be checked"
MASK = re.compile(r"masked, (?:\d{1,12} bytes, [0-9a-f]{8}|nested too deeply|too large to be checked)")
"""Every mask that this package writes."""
_LIKE_A_MASK = re.compile(
    r"(?i)masked,\s{1,8}(?:\d{1,12}\s{1,8}bytes|nested\s{1,8}too|too\s{1,8}large)|\[masked\]|\[redacted\]"
)
_IN_URL = re.compile(r"(?i)masked(?:%2C|,)(?:%20|\+)\d{1,12}(?:%20|\+)bytes")
_RUN = re.compile(r"[A-Za-z0-9+/=_-]{12,}+")


@dataclass(frozen=True)
class Fingerprints:
    """Keyed fingerprints: they show whether two values are equal, and reveal nothing without the key."""

    key: bytes

    def of(self, value: str | bytes) -> str:
        return hmac.new(self.key, _bytes(value), hashlib.sha256).hexdigest()

    def mask(self, value: str | bytes) -> str:
        """Return what may be shown of a secret value: `masked, 12 bytes, 1f0c5b2a`."""
        data = _bytes(value)
        return f"masked, {len(data)} bytes, {self.of(data)[:8]}"


def is_mask(value: str) -> bool:
    """Tell whether the text is exactly one mask of ours."""
    return value.startswith("masked, ") and MASK.fullmatch(value) is not None


def starts_with_mask(text: str, at: int = 0) -> bool:
    """Tell whether a mask of ours stands at this place. A value that only begins with the same word is no mask."""
    return text.startswith("masked, ", at) and MASK.match(text, at) is not None


def is_shown(text: str, at: int = 0) -> bool:
    """Tell whether what a command is given at this place may be shown: a variable of the shell, or a mask of ours."""
    return text.startswith("$", at) or starts_with_mask(text, at)


def text_holds_mask(text: str) -> bool:
    """Tell whether a text holds a mask: literally, in a URL's escapes, or encoded in base64."""
    if _LIKE_A_MASK.search(text) or ("asked" in text.lower() and _IN_URL.search(text)):
        return True
    return any(
        _LIKE_A_MASK.search(_decoded(found)) for found in _RUN.findall(text) if any(s in found for s in _ENCODED)
    )


def _bytes(value: str | bytes) -> bytes:
    return value.encode("utf-8", errors="surrogatepass") if isinstance(value, str) else value


def _alignments(text: str) -> list[str]:
    """The parts of base64 texts that are the same whatever stands before and behind this text."""
    found = []
    for shift, skipped in ((0, 0), (1, 2), (2, 3)):
        encoded = b64encode(b"\0" * shift + text.encode()).decode().rstrip("=")
        whole = (shift + len(text.encode())) * 8 // 6
        found.append(encoded[skipped:whole])
    return found


def _decoded(run: str) -> str:
    """Decode a base64 run from each of the four places at which a group may begin."""
    plain = run.rstrip("=").replace("-", "+").replace("_", "/")
    texts = []
    for start in range(4):
        part = plain[start:]
        part = part[: len(part) // 4 * 4]
        try:
            texts.append(b64decode(part).decode("latin-1"))
        except binascii.Error:
            continue
    return "\n".join(texts)


_ENCODED = tuple(part for text in ("masked, ", "[masked]") for part in _alignments(text))
