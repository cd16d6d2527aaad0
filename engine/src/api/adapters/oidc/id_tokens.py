"""Validate ID tokens: signature, issuer, audience, age, and the nonce of this sign-in."""

import hmac
from collections.abc import Awaitable, Callable

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.api.adapters.oidc.cache import CachedValue
from src.api.adapters.oidc.http import JsonWebKeySet
from src.api.errors import BadRequest
from src.api.ports import Clock
from src.api.schemas.base import JsonObject

__all__ = ["IdTokenClaims", "IdTokenValidator", "SigningKeys"]

ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""Accepted algorithms with their key types: no unsigned tokens, and none signed with a shared secret."""

REFRESH_SECONDS = 30.0
SKEW_SECONDS = 60
MAX_TOKEN_AGE_SECONDS = 600

_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "nonce")


class IdTokenClaims(BaseModel):
    """The claims of a validated ID token."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    sub: str = Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")
    aud: str | list[str]
    iat: float
    nonce: str
    azp: str | None = None


class SigningKeys:
    """The provider's signing keys. An unknown key id triggers a refresh, at most twice a minute."""

    def __init__(self, fetch: Callable[[], Awaitable[JsonWebKeySet]], clock: Clock) -> None:
        self._cache = CachedValue(fetch, clock)
        self._clock = clock
        self._refreshed: float | None = None

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        found = _select_key(await self._cache.get(), kid, algorithm)
        if found is None and self._may_refresh():
            found = _select_key(await self._cache.get(max_age=0), kid, algorithm)
        return found

    def _may_refresh(self) -> bool:
        now = self._clock.monotonic()
        if self._refreshed is not None and now - self._refreshed < REFRESH_SECONDS:
            return False
        self._refreshed = now
        return True


class IdTokenValidator:
    """Validate ID tokens of one issuer for one client."""

    def __init__(self, issuer: str, client_id: str, keys: SigningKeys, clock: Clock) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys
        self._clock = clock

    async def validate(self, token: str, nonce: str, supported: tuple[str, ...]) -> IdTokenClaims:
        """Validate a token and return its claims. Raises `BadRequest`.

        `supported` lists the algorithms that the provider says it signs with; empty means that it does not say.
        """
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise _rejected("it can't be read") from error
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or (supported and algorithm not in supported):
            raise _rejected("its algorithm is not accepted")
        key = await self._keys.find(kid, algorithm)
        if key is None:
            raise _rejected("none of the provider's keys has signed it")
        claims = self._decode(token, key, algorithm)
        self._check_claims(claims, nonce)
        return claims

    def _decode(self, token: str, key: jwt.PyJWK, algorithm: str) -> IdTokenClaims:
        try:
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._client_id,
                issuer=self._issuer,
                leeway=SKEW_SECONDS,
                options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
            )
            return IdTokenClaims.model_validate(claims)
        except jwt.PyJWTError as error:
            raise _rejected(_CAUSES.get(type(error), "it is incomplete, or not signed by the provider")) from error
        except ValidationError as error:
            raise _rejected("its claims are not valid") from error

    def _check_claims(self, claims: IdTokenClaims, nonce: str) -> None:
        several = not isinstance(claims.aud, str) and len(claims.aud) > 1
        if claims.azp != self._client_id and (claims.azp is not None or several):
            raise _rejected(_WRONG_AUDIENCE)
        if not hmac.compare_digest(claims.nonce.encode(), nonce.encode()):
            raise _rejected("it was issued for another sign-in")
        if self._clock.now() / 1000 - claims.iat > MAX_TOKEN_AGE_SECONDS:
            raise _rejected("it was issued too long ago. Check the clocks of both machines")


def _select_key(keys: JsonWebKeySet, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
    """Return the key that signed the token. Without a key id, exactly one usable key must exist."""
    matching = [key for key in keys.keys if _is_usable(key, algorithm) and (kid is None or key.get("kid") == kid)]
    if len(matching) != 1:
        return None
    try:
        return jwt.PyJWK.from_dict(matching[0], algorithm)
    except jwt.PyJWTError:
        return None


def _is_usable(key: JsonObject, algorithm: str) -> bool:
    return (
        key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
    )


_WRONG_AUDIENCE = "it was issued for another application. Check OIDC_CLIENT_ID"
_CAUSES: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "it has expired. Check the clocks of both machines",
    jwt.ImmatureSignatureError: "it is not valid yet. Check the clocks of both machines",
    jwt.InvalidIssuerError: "another provider issued it. Check OIDC_ISSUER",
    jwt.InvalidAudienceError: _WRONG_AUDIENCE,
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.MissingRequiredClaimError: "a claim is missing",
}


def _rejected(cause: str) -> BadRequest:
    return BadRequest(f"The identity provider's token is not valid: {cause}. Sign in again.", reason="oidc_token")
