"""ID tokens: whose they are, for whom, and that the provider signed them for this very sign-in."""

import hmac
from collections.abc import Awaitable, Callable

import jwt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.api.adapters.oidc.kept import Kept
from src.api.adapters.oidc.wire import KeySet
from src.api.errors import BadRequest
from src.api.ports import Clock
from src.api.schemas.base import JsonObject

__all__ = ["Claims", "IdTokens", "Keys"]

ALGORITHMS = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), "RSA"),
    **dict.fromkeys(("ES256", "ES384", "ES512"), "EC"),
    "EdDSA": "OKP",
}
"""Signatures that are believed, with the kind of their keys: nothing unsigned, nothing that a shared secret signs."""

REFRESH_SECONDS = 30.0
SKEW_SECONDS = 60
OLDEST_SECONDS = 600

_REQUIRED = ("iss", "sub", "aud", "exp", "iat", "nonce")


class Claims(BaseModel):
    """What an ID token says, once it is proved."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    sub: str = Field(min_length=1, max_length=255, pattern=r"^[^\x00]+$")
    aud: str | list[str]
    iat: float
    nonce: str
    azp: str | None = None


class Keys:
    """The provider's keys. One that is not known makes them be fetched anew, twice a minute at most."""

    def __init__(self, fetch: Callable[[], Awaitable[KeySet]], clock: Clock) -> None:
        self._kept = Kept(fetch, clock)
        self._clock = clock
        self._refreshed: float | None = None

    async def find(self, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
        found = _fitting(await self._kept.get(), kid, algorithm)
        if found is None and self._may_refresh():
            found = _fitting(await self._kept.get(fresh=0), kid, algorithm)
        return found

    def _may_refresh(self) -> bool:
        now = self._clock.boot()
        if self._refreshed is not None and now - self._refreshed < REFRESH_SECONDS:
            return False
        self._refreshed = now
        return True


class IdTokens:
    """Reads the ID tokens of one issuer for one client."""

    def __init__(self, issuer: str, client_id: str, keys: Keys, clock: Clock) -> None:
        self._issuer = issuer
        self._client_id = client_id
        self._keys = keys
        self._clock = clock

    async def read(self, token: str, nonce: str, supported: tuple[str, ...]) -> Claims:
        """Raises `BadRequest` for a token that proves nothing; `supported` is what the provider says it signs with."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError as error:
            raise _refused("it can't be read") from error
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS or (supported and algorithm not in supported):
            raise _refused("its algorithm is not taken here")
        key = await self._keys.find(kid, algorithm)
        if key is None:
            raise _refused("no key of the provider's has signed it")
        claims = self._proved(token, key, algorithm)
        self._check(claims, nonce)
        return claims

    def _proved(self, token: str, key: jwt.PyJWK, algorithm: str) -> Claims:
        try:
            said = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._client_id,
                issuer=self._issuer,
                leeway=SKEW_SECONDS,
                options={"require": list(_REQUIRED), "enforce_minimum_key_length": True},
            )
            return Claims.model_validate(said)
        except jwt.PyJWTError as error:
            raise _refused(_CAUSES.get(type(error), "it is not whole, or not signed by the provider")) from error
        except ValidationError as error:
            raise _refused("its claims are not what they must be") from error

    def _check(self, claims: Claims, nonce: str) -> None:
        several = not isinstance(claims.aud, str) and len(claims.aud) > 1
        if claims.azp != self._client_id and (claims.azp is not None or several):
            raise _refused(_FOR_ANOTHER)
        if not hmac.compare_digest(claims.nonce.encode(), nonce.encode()):
            raise _refused("it was made for another sign-in")
        if self._clock.now() / 1000 - claims.iat > OLDEST_SECONDS:
            raise _refused("it was made too long ago. Check the clocks of both machines")


def _fitting(keys: KeySet, kid: str | None, algorithm: str) -> jwt.PyJWK | None:
    """The one key that may have signed; without a name, only where no other could have."""
    fitting = [key for key in keys.keys if _fits(key, algorithm) and (kid is None or key.get("kid") == kid)]
    if len(fitting) != 1:
        return None
    try:
        return jwt.PyJWK.from_dict(fitting[0], algorithm)
    except jwt.PyJWTError:
        return None


def _fits(key: JsonObject, algorithm: str) -> bool:
    return (
        key.get("kty") == ALGORITHMS[algorithm]
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) == algorithm
    )


_FOR_ANOTHER = "it was made for another application. Check OIDC_CLIENT_ID"
_CAUSES: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "its time is over. Check the clocks of both machines",
    jwt.ImmatureSignatureError: "its time has not come. Check the clocks of both machines",
    jwt.InvalidIssuerError: "another provider made it. Check OIDC_ISSUER",
    jwt.InvalidAudienceError: _FOR_ANOTHER,
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.MissingRequiredClaimError: "a claim is missing",
}


def _refused(cause: str) -> BadRequest:
    return BadRequest(f"The identity provider's token is not believed: {cause}. Sign in again.", reason="oidc_token")
