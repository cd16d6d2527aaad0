"""Verify grants and identity tokens: JWTs (HS256) that the engine signs with a shared grant key.

Several keys are accepted while one is replaced. What makes a grant single-use is its id, whichever key signed it.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import jwt
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from skyflo_common.clock import Clock
from skyflo_common.jsontypes import JsonObject, canonical
from skyflo_tools.errors import GrantRefused
from skyflo_tools.jenkins.access import JenkinsAccess, bind_to_call, decrypt_access
from skyflo_tools.kubernetes.client import Identity

GRANT_META = "skyflo/grant"
IDENTITY_META = "skyflo/identity"
CLOCK_SKEW = 5.0
_ALGORITHM = "HS256"


class _Claims(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    iat: float
    exp: float
    kubernetes_user: str = ""
    kubernetes_groups: list[str] = Field(default_factory=list, max_length=100)

    def impersonated_identity(self) -> Identity:
        """Return the Kubernetes user to impersonate. Raises GrantRefused if there is none, or for `system:` names."""
        names = [self.kubernetes_user, *self.kubernetes_groups]
        if not self.kubernetes_user:
            raise GrantRefused("the grant has no kubernetes_user, which KUBERNETES_IMPERSONATE requires")
        if any(name.startswith("system:") or not name.isprintable() for name in names):
            raise GrantRefused("users and groups that start with system: can't be impersonated")
        return Identity(self.kubernetes_user, tuple(self.kubernetes_groups))


class Grant(_Claims):
    """The claims of a grant: who approved which call in which run."""

    jti: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:~-]+$")
    tool: str
    args_sha256: str
    cluster: str | None = None
    approver: str
    run_id: str
    preconditions: dict[str, JsonValue]

    def impersonated_identity(self) -> Identity:
        return replace(super().impersonated_identity(), approval=self.jti, approver=self.approver)

    def audit_identity(self) -> Identity:
        """Return an identity that impersonates no user, but puts the approval into the API server's audit log."""
        return Identity("", approval=self.jti, approver=self.approver)


class IdentityClaims(_Claims):
    """The claims of an identity token: the user to impersonate for reads and previews."""

    purpose: str = Field(pattern="^identity$")


def args_sha256(arguments: JsonObject) -> str:
    """Hash the canonical JSON of a call's arguments with SHA-256 (hex).

    Raises ValueError for NaN, infinities and lone surrogates.
    """
    return hashlib.sha256(canonical(arguments).encode("utf-8")).hexdigest()


ClaimsT = TypeVar("ClaimsT", bound=_Claims)


class GrantVerifier:
    """Verifies the signature, the times and the claims of tokens. Each of the keys may have signed them."""

    def __init__(self, keys: Sequence[str], clock: Clock) -> None:
        self._keys = tuple(keys)
        self._clock = clock

    def verify_grant(self, meta: Mapping[str, JsonValue], tool: str, arguments: JsonObject) -> Grant:
        """Verify that the call carries a grant for this tool and these arguments. Raises GrantRefused."""
        token = meta.get(GRANT_META)
        if not isinstance(token, str) or not token:
            raise GrantRefused(f"{tool} changes objects and needs a grant", code="grant_missing")
        grant = self._decode(token, Grant)
        if not hmac.compare_digest(grant.tool, tool):
            raise GrantRefused(f"the grant is for {grant.tool}, not for {tool}", code="grant_mismatch")
        if not hmac.compare_digest(grant.args_sha256, args_sha256(arguments)):
            raise GrantRefused("the grant is for other arguments", code="grant_mismatch")
        return grant

    def verify_identity(self, meta: Mapping[str, JsonValue]) -> Identity:
        """Verify the identity token of a read or preview. Raises GrantRefused."""
        token = meta.get(IDENTITY_META)
        if not isinstance(token, str) or not token:
            raise GrantRefused(
                "KUBERNETES_IMPERSONATE requires an identity token, and the call has none", code="identity_missing"
            )
        return self._decode(token, IdentityClaims).impersonated_identity()

    def decrypt_access(self, meta: Mapping[str, JsonValue], tool: str, arguments: JsonObject) -> JenkinsAccess:
        """Decrypt the address and credentials that the engine sent with this call. Raises GrantRefused."""
        bound_to = bind_to_call(tool, args_sha256(arguments))
        return decrypt_access(meta, self._keys, bound_to, self._clock.now() / 1000)

    def _decode(self, token: str, model: type[ClaimsT]) -> ClaimsT:
        try:
            claims = model.model_validate(self._decode_signed(token))
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise GrantRefused(f"the grant's claim {field} is missing or invalid") from error
        now = self._clock.now() / 1000
        if now >= claims.exp:
            raise GrantRefused("the grant has expired", code="grant_expired")
        if claims.iat > now + CLOCK_SKEW:
            raise GrantRefused("the grant was issued in the future: synchronize the clocks of engine and tool server")
        return claims

    def _decode_signed(self, token: str) -> JsonObject:
        """Return the payload of a token that one of the keys signed. Raises GrantRefused."""
        options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
        failure: jwt.InvalidTokenError | None = None
        for key in self._keys:
            try:
                return jwt.decode(token, key, algorithms=[_ALGORITHM], options=options)  # type: ignore[arg-type]
            except jwt.InvalidTokenError as error:
                failure = error
        raise GrantRefused("the grant's signature is invalid") from failure
