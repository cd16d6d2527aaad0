"""Encrypt an integration's address and credentials for one call of a tool server that shares a grant key."""

import base64
import json
import os
from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from src.api.utils.canonical import sha256

__all__ = ["CREDENTIALS_META", "encrypt_credentials"]

CREDENTIALS_META = "skyflo/credentials"
_KEY_INFO = b"skyflo integration credentials"
_NONCE_BYTES = 12
_SECONDS = 30


def encrypt_credentials(
    values: Mapping[str, str], *, key: str, provider: str, tool: str, args: str, now_ms: int
) -> str:
    """Encrypt with AES-256-GCM. The key is derived from the grant key; provider, tool and arguments are bound in.

    The server refuses it for any other call, and after half a minute.
    """
    derived = HKDF(hashes.SHA256(), 32, None, _KEY_INFO).derive(key.encode())
    bound_to = bytes.fromhex(sha256(f"{provider}\n{tool}\n{sha256(args)}"))
    nonce = os.urandom(_NONCE_BYTES)
    text = json.dumps({**values, "exp": now_ms // 1000 + _SECONDS}).encode()
    return base64.urlsafe_b64encode(nonce + AESGCM(derived).encrypt(nonce, text, bound_to)).decode()
