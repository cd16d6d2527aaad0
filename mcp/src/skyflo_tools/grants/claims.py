"""Reading a grant: who approved exactly which call, until when it must arrive."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import jwt
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from skyflo_tools.clock import Clock
from skyflo_tools.errors import GrantRefused
from skyflo_tools.jsontypes import JsonObject, canonical
from skyflo_tools.kubernetes.client import Identity

GRANT = "skyflo/grant"
IDENTITY = "skyflo/identity"
CLOCK_SKEW = 5.0
_ALGORITHM = "HS256"


class _Claims(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    iat: float
    exp: float
    kubernetes_user: str = ""
    kubernetes_groups: list[str] = Field(default_factory=list, max_length=100)

    def acting(self) -> Identity:
        """The person that Kubernetes shall see. Raises GrantRefused for nobody and for Kubernetes' own names."""
        names = [self.kubernetes_user, *self.kubernetes_groups]
        if not self.kubernetes_user:
            raise GrantRefused("the grant names no kubernetes_user, and KUBERNETES_IMPERSONATE is on")
        if any(name.startswith("system:") or not name.isprintable() for name in names):
            raise GrantRefused("nobody may act as one of Kubernetes' own users or groups (system:...)")
        return Identity(self.kubernetes_user, tuple(self.kubernetes_groups))


class Grant(_Claims):
    """The claims of a grant."""

    jti: str = Field(min_length=1, max_length=200, pattern=r"^[A-Za-z0-9_.:~-]+$")
    tool: str
    args_sha256: str
    cluster: str | None = None
    approver: str
    run_id: str
    preconditions: dict[str, JsonValue]

    def acting(self) -> Identity:
        return replace(super().acting(), approval=self.jti, approver=self.approver)

    def recorded(self) -> Identity:
        """Nobody in particular to Kubernetes, but its audit log can tell who approved."""
        return Identity("", approval=self.jti, approver=self.approver)


class IdentityClaims(_Claims):
    """Who asks: for reads and previews where impersonation is on."""

    purpose: str = Field(pattern="^identity$")


def args_sha256(arguments: JsonObject) -> str:
    """The hexadecimal SHA-256 of the canonical JSON of a call's arguments. Raises ValueError for NaN and infinities
    and for text that is not Unicode."""
    return hashlib.sha256(canonical(arguments).encode("utf-8")).hexdigest()


ClaimsT = TypeVar("ClaimsT", bound=_Claims)


class Verifier:
    """Checks signatures and times with the key that the engine shares with us."""

    def __init__(self, key: str, clock: Clock) -> None:
        self._key = key
        self._clock = clock

    def grant(self, meta: Mapping[str, JsonValue], tool: str, arguments: JsonObject) -> Grant:
        """The grant of this very call. Raises GrantRefused."""
        token = meta.get(GRANT)
        if not isinstance(token, str) or not token:
            raise GrantRefused(f"{tool} changes something and came without a grant", code="grant_missing")
        grant = self._read(token, Grant)
        if not hmac.compare_digest(grant.tool, tool):
            raise GrantRefused(f"the grant is for {grant.tool}, not for {tool}", code="grant_mismatch")
        if not hmac.compare_digest(grant.args_sha256, args_sha256(arguments)):
            raise GrantRefused("the grant is for other arguments", code="grant_mismatch")
        return grant

    def identity(self, meta: Mapping[str, JsonValue]) -> Identity:
        """Who asks, for a call that needs no grant. Raises GrantRefused."""
        token = meta.get(IDENTITY)
        if not isinstance(token, str) or not token:
            raise GrantRefused(
                "KUBERNETES_IMPERSONATE is on and the call does not say who asks", code="identity_missing"
            )
        return self._read(token, IdentityClaims).acting()

    def _read(self, token: str, model: type[ClaimsT]) -> ClaimsT:
        options = {"verify_exp": False, "verify_iat": False, "verify_nbf": False, "verify_aud": False}
        try:
            payload = jwt.decode(token, self._key, algorithms=[_ALGORITHM], options=options)  # type: ignore[arg-type]
            claims = model.model_validate(payload)
        except jwt.InvalidTokenError as error:
            raise GrantRefused("the grant's signature does not hold") from error
        except ValidationError as error:
            field = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise GrantRefused(f"the grant's claim {field} is missing or wrong") from error
        now = self._clock.now()
        if now >= claims.exp:
            raise GrantRefused("the grant arrived after its time", code="grant_expired")
        if claims.iat > now + CLOCK_SKEW:
            raise GrantRefused("the grant comes from the future: the clocks of engine and tool server differ")
        return claims
