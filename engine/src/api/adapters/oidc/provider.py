"""`IdentityProvider` by OpenID Connect: discovery, the code flow with PKCE, ID token and userinfo."""

import base64
import hashlib
import hmac
import logging
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from pydantic import EmailStr, TypeAdapter, ValidationError

from src.api.adapters.oidc.kept import Kept
from src.api.adapters.oidc.tokens import Claims, IdTokens, Keys
from src.api.adapters.oidc.wire import Discovery, KeySet, Refusal, Tokens, UserInfo, Wire
from src.api.errors import BadRequest, IdentityUnavailable
from src.api.ports import Clock
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.oidc import Attempt, Person
from src.api.utils.text import clean

__all__ = ["Client", "OpenIdProvider"]

logger = logging.getLogger(__name__)

CHECK_SECONDS = 30.0
MOST_GROUPS = 2_000
_EMAIL: TypeAdapter[str] = TypeAdapter(EmailStr)


@dataclass(frozen=True, slots=True)
class Client:
    """How the provider knows us. `secret` None: a public client. `plain`: it may be spoken to without TLS."""

    issuer: str
    id: str
    redirect_uri: str
    scopes: str
    groups_claim: str
    secret: str | None = field(default=None, repr=False)
    plain: bool = False


class OpenIdProvider:
    """Asks the provider for nothing until somebody signs in, or asks whether it is there."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._wire = Wire()
        self._discovery = Kept(self._discovered, clock)
        self._id_tokens = IdTokens(client.issuer, client.id, Keys(self._published, clock), clock)

    async def aclose(self) -> None:
        await self._wire.aclose()

    async def check(self) -> None:
        await self._discovery.get(CHECK_SECONDS)

    async def address(self, attempt: Attempt) -> str:
        endpoint = (await self._discovery.get()).authorization_endpoint
        asked = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._client.redirect_uri,
            "scope": self._client.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked, quote_via=quote)}"

    async def redeem(self, code: str, issuer: str | None, attempt: Attempt) -> Person:
        described = await self._discovery.get()
        wanted = issuer is not None or described.authorization_response_iss_parameter_supported
        if wanted and not hmac.compare_digest((issuer or "").encode(), self._client.issuer.encode()):
            raise BadRequest("Another provider sent this answer. Sign in again.", reason="oidc_issuer")
        tokens = await self._exchanged(described, code, attempt)
        claims = await self._id_tokens.read(
            tokens.id_token, attempt.nonce, described.id_token_signing_alg_values_supported
        )
        return self._person(claims.sub, await self._told(described, claims, tokens.access_token))

    async def _discovered(self) -> Discovery:
        issuer = self._client.issuer
        found = await self._wire.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", Discovery)
        if found.issuer != issuer:
            raise IdentityUnavailable(
                "The identity provider calls itself by another address than OIDC_ISSUER. An admin has to correct that."
            )
        used = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.userinfo_endpoint)
        if not all(self._usable(one) for one in used if one is not None):
            raise IdentityUnavailable("The identity provider names endpoints that are not encrypted.")
        return found

    def _usable(self, url: str) -> bool:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.scheme in (("https", "http") if self._client.plain else ("https",))

    async def _published(self) -> KeySet:
        return await self._wire.get((await self._discovery.get()).jwks_uri, KeySet)

    async def _exchanged(self, described: Discovery, code: str, attempt: Attempt) -> Tokens:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = self._proof(described, form)
        answer = await self._wire.post(described.token_endpoint, Tokens, form, headers)
        if not isinstance(answer, Refusal):
            return answer
        logger.warning("The provider gave no token: %s", answer.error, extra={"action": "oidc.refused"})
        if answer.error == "invalid_grant":
            raise BadRequest(
                "The identity provider does not take this code any more. Sign in again.", reason="oidc_code"
            )
        raise IdentityUnavailable(
            f"The identity provider refuses the engine ({answer.error}). "
            "An admin has to compare OIDC_CLIENT_ID and OIDC_CLIENT_SECRET with what it has."
        )

    def _proof(self, described: Discovery, form: dict[str, str]) -> dict[str, str]:
        """How we say who we are: in the header where the provider takes that, else in the form, which is added to."""
        client, methods = self._client, described.token_endpoint_auth_methods_supported
        if client.secret is not None and ("client_secret_basic" in methods or "client_secret_post" not in methods):
            pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        form["client_id"] = client.id
        if client.secret is not None:
            form["client_secret"] = client.secret
        return {}

    async def _told(self, described: Discovery, claims: Claims, access_token: str | None) -> JsonObject:
        """The claims of the ID token, and of userinfo what that leaves out."""
        said: JsonObject = claims.model_dump()
        whole = "email" in said and _claim(said, self._client.groups_claim) is not None
        if whole or described.userinfo_endpoint is None or access_token is None:
            return said
        more = await self._wire.get(described.userinfo_endpoint, UserInfo, access_token)
        if more.sub != claims.sub:
            raise BadRequest("The identity provider told of another person. Sign in again.", reason="oidc_token")
        return {**more.model_dump(), **said}

    def _person(self, subject: str, said: JsonObject) -> Person:
        email, name, verified = _email(said.get("email")), said.get("name"), said.get("email_verified")
        return Person(
            issuer=self._client.issuer,
            subject=subject,
            email=email,
            email_verified=email is not None and (verified is True or verified == "true"),
            name=clean(name)[:200] if isinstance(name, str) and name.strip() else None,
            groups=_groups(_claim(said, self._client.groups_claim)),
        )


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _claim(said: JsonObject, name: str) -> Json:
    """The claim of this name, else what the name leads to as a path: `realm_access.roles`."""
    if name in said:
        return said[name]
    found: Json = said
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _groups(claim: Json) -> frozenset[str]:
    named = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return frozenset(one for one in named[:MOST_GROUPS] if isinstance(one, str))


def _email(claim: Json) -> str | None:
    try:
        found = _EMAIL.validate_python(claim)
    except ValidationError:
        return None
    return found.lower() if len(found) <= 320 else None
