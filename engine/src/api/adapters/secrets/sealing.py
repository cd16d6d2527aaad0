"""Authenticated encryption of credentials: AES-256-GCM under keys that HKDF derives from what operators set."""

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

__all__ = ["Keys", "Sealed"]

_NONCE = 12
_VALUES: TypeAdapter[dict[str, str]] = TypeAdapter(dict[str, str])


@dataclass(frozen=True, slots=True)
class Sealed:
    """`text` can be opened only with the key of this id, for the ref and the owner that it was sealed for."""

    key_id: str
    text: str


class Keys:
    """The first key seals, each opens. All fields are sealed as one, so none can be left out, added or exchanged."""

    def __init__(self, secrets: Sequence[str]) -> None:
        derived = [_derived(secret) for secret in secrets]
        self._keys = {_id_of(key): AESGCM(key) for key in derived}
        self.first = _id_of(derived[0]) if derived else None

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(self._keys)

    def seal(self, ref: str, owner: str, values: Mapping[str, str]) -> Sealed:
        """Raises `SecretsRefused` where there is no key."""
        if self.first is None:
            raise SecretsRefused("There is no key to seal credentials with. Set CREDENTIALS_KEY.")
        nonce = os.urandom(_NONCE)
        plain = canonical(dict(values)).encode()
        sealed = nonce + self._keys[self.first].encrypt(nonce, plain, _bound(ref, owner, self.first))
        return Sealed(self.first, b64encode(sealed).decode())

    def open(self, ref: str, owner: str, sealed: Sealed) -> Mapping[str, str]:
        """Raises `CredentialsUnreadable`, which tells a missing key from text that is not what was sealed."""
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise CredentialsUnreadable(
                "These credentials were sealed with a key that is not among CREDENTIALS_KEY. Add that key, or send "
                "the credentials again."
            )
        try:
            raw = b64decode(sealed.text, validate=True)
            plain = key.decrypt(raw[:_NONCE], raw[_NONCE:], _bound(ref, owner, sealed.key_id))
            return _VALUES.validate_json(plain)
        except (InvalidTag, ValueError, ValidationError):
            # Not `from`: a validation error's text would hold the values.
            raise CredentialsUnreadable(
                "What is stored is not what was sealed: it was changed or exchanged. Send the credentials again."
            ) from None


def _derived(secret: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"skyflo credentials 1").derive(secret.encode())


def _id_of(key: bytes) -> str:
    return hashlib.sha256(b"id of a credentials key:" + key).hexdigest()[:16]


def _bound(ref: str, owner: str, key_id: str) -> bytes:
    return canonical(["skyflo credentials 1", ref, owner, key_id]).encode()
