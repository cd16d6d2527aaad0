"""Encrypt credentials with AES-256-GCM, under keys that HKDF derives from the operator's secrets."""

import hashlib
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import TypeAdapter, ValidationError

from src.api.errors import CredentialsUnreadable, SecretsRefused
from src.api.utils.canonical import canonical

__all__ = ["EncryptionKeys", "SealedText"]

_NONCE_BYTES = 12
_VALUES: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class SealedText:
    """Encrypted credentials, which only the key of this id can decrypt, for the same ref and owner."""

    key_id: str
    text: str


class EncryptionKeys:
    """The keys: the first one encrypts, each one decrypts.

    All fields are encrypted as one text, so none can be dropped, added or swapped.
    """

    def __init__(self, secrets: Sequence[str]) -> None:
        derived = [_derive_key(secret) for secret in secrets]
        self._keys = {_key_id(key): AESGCM(key) for key in derived}
        self.active_id = _key_id(derived[0]) if derived else None

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def seal(self, ref: str, owner: str, values: Mapping[str, str]) -> SealedText:
        """Encrypt the values. Raises `SecretsRefused` without a key."""
        if self.active_id is None:
            raise SecretsRefused("There is no key to encrypt credentials. Set CREDENTIALS_KEY.")
        nonce = os.urandom(_NONCE_BYTES)
        plain = canonical(dict(values)).encode()
        sealed = nonce + self._keys[self.active_id].encrypt(nonce, plain, _associated_data(ref, owner, self.active_id))
        return SealedText(self.active_id, b64encode(sealed).decode())

    def open(self, ref: str, owner: str, sealed: SealedText) -> Mapping[str, str]:
        """Decrypt the values. Raises `CredentialsUnreadable`, with different text for a missing key and for changed
        data.
        """
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise CredentialsUnreadable(
                "These credentials were encrypted with a key that is not in CREDENTIALS_KEY. Add that key, or send "
                "the credentials again."
            )
        try:
            raw = b64decode(sealed.text, validate=True)
            plain = key.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], _associated_data(ref, owner, sealed.key_id))
            return _VALUES.validate_json(plain)
        except (InvalidTag, ValueError, ValidationError):
            # No `from`: a validation error would quote the values.
            raise CredentialsUnreadable(
                "The stored credentials were changed or swapped. Send the credentials again."
            ) from None


def _derive_key(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"skyflo credentials 1").derive(secret.encode())


def _key_id(key: bytes) -> str:
    return hashlib.sha256(b"id of a credentials key:" + key).hexdigest()[:16]


def _associated_data(ref: str, owner: str, key_id: str) -> bytes:
    return canonical(["skyflo credentials 1", ref, owner, key_id]).encode()
