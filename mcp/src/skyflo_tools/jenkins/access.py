"""Where a Jenkins controller is, and with which credentials: from the engine with each call, or from the settings.

The engine encrypts the integration's address and credentials with a key derived from its grant key (AES-256-GCM). The
tool's name and its arguments are bound in, so that a copy fits no other call. Any key of the list may fit.
"""

import base64
import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationError

from skyflo_tools.errors import GrantRefused, ToolFailure

CREDENTIALS_META = "skyflo/credentials"
INTEGRATION = "jenkins"
KEY_INFO = b"skyflo integration credentials"
NONCE_BYTES = 12
MAX_TOKEN = 64 * 1024
HINT = "an admin adds the integration Jenkins, with its address, a user and an API token"


class _Credentials(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    api_url: str = Field(min_length=1, max_length=2000)
    username: str = Field(min_length=1, max_length=256)
    api_token: SecretStr
    exp: float


@dataclass(frozen=True)
class JenkinsAccess:
    """The address of a controller, without a slash at its end, and a user's API token or password."""

    api_url: str
    username: str
    api_token: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not leave a call: the token, and the header that is made of it."""
        return self.api_token, base64.b64encode(f"{self.username}:{self.api_token}".encode()).decode()


def derive_key(grant_key: str) -> bytes:
    return HKDF(hashes.SHA256(), 32, None, KEY_INFO).derive(grant_key.encode())


def bind_to_call(tool: str, args_sha256: str) -> bytes:
    """Return the associated data of a call's credentials."""
    return hashlib.sha256(f"{INTEGRATION}\n{tool}\n{args_sha256}".encode()).digest()


def decrypt_access(
    meta: Mapping[str, JsonValue], grant_keys: Sequence[str], bound_to: bytes, now: float
) -> JenkinsAccess:
    """Decrypt the credentials that a call carries, with the key that fits. `now` is in seconds.

    Raises GrantRefused if they are not those of this call, and ToolFailure if there are none.
    """
    token = meta.get(CREDENTIALS_META)
    if not isinstance(token, str) or not token:
        raise ToolFailure("no Jenkins is connected", code="not_configured", hint=HINT)
    try:
        raw = base64.urlsafe_b64decode(token[:MAX_TOKEN])
        found = _Credentials.model_validate(json.loads(_decrypt(raw, grant_keys, bound_to)))
    except (ValueError, InvalidTag, ValidationError) as error:
        raise GrantRefused("the call's credentials were not made for it", code="credentials_invalid") from error
    if now >= found.exp:
        raise GrantRefused("the call's credentials have expired", code="credentials_invalid")
    return check_access(JenkinsAccess(found.api_url, found.username, found.api_token.get_secret_value()))


def _decrypt(sealed: bytes, grant_keys: Sequence[str], bound_to: bytes) -> bytes:
    """Raises InvalidTag if no key fits."""
    for key in grant_keys:
        with contextlib.suppress(InvalidTag):
            return AESGCM(derive_key(key)).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], bound_to)
    raise InvalidTag


def check_access(access: JenkinsAccess) -> JenkinsAccess:
    """Return the access with a plain address. Raises ToolFailure if it is no HTTP address."""
    parts = urlsplit(access.api_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ToolFailure("the address of Jenkins is not usable", code="not_configured", hint=HINT)
    return JenkinsAccess(access.api_url.rstrip("/"), access.username, access.api_token)
