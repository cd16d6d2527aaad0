"""Implement `IdentityProvider` with OpenID Connect: discovery, code flow with PKCE, ID token and userinfo."""

import base64
import hashlib
import hmac
import logging
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit

from pydantic import EmailStr, TypeAdapter, ValidationError

from src.api.adapters.oidc.cache import CachedValue
from src.api.adapters.oidc.http import Discovery, JsonWebKeySet, ProviderHttpClient, TokenError, TokenResponse, UserInfo
from src.api.adapters.oidc.id_tokens import IdTokenClaims, IdTokenValidator, SigningKeys
from src.api.errors import BadRequest, IdentityUnavailable
from src.api.ports import Clock
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.oidc import IdentityClaims, SignInSecrets
from src.api.utils.names import clean_name

__all__ = ["ClientRegistration", "OpenIdProvider"]

logger = logging.getLogger(__name__)

CHECK_SECONDS = 30.0
MAX_GROUPS = 2_000
MAX_NAME = 200
_EMAIL: TypeAdapter[str] = TypeAdapter(EmailStr)


@dataclass(frozen=True, slots=True)
class ClientRegistration:
    """The engine's registration at the provider.

    `secret` is None for a public client. `allow_http` permits a provider without TLS.
    """

    issuer: str
    id: str
    redirect_uri: str
    scopes: str
    groups_claim: str
    secret: str | None = field(default=None, repr=False)
    allow_http: bool = False


class OpenIdProvider:
    """`IdentityProvider` for one issuer. It sends no request until a sign-in or a health check."""

    def __init__(self, client: ClientRegistration, clock: Clock) -> None:
        self._client = client
        self._http = ProviderHttpClient()
        self._discovery = CachedValue(self._fetch_discovery, clock)
        self._id_tokens = IdTokenValidator(client.issuer, client.id, SigningKeys(self._fetch_keys, clock), clock)

    async def aclose(self) -> None:
        await self._http.aclose()

    async def check(self) -> None:
        await self._discovery.get(CHECK_SECONDS)

    async def authorization_url(self, attempt: SignInSecrets) -> str:
        endpoint = (await self._discovery.get()).authorization_endpoint
        parameters = {
            "response_type": "code",
            "client_id": self._client.id,
            "redirect_uri": self._client.redirect_uri,
            "scope": self._client.scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": _challenge(attempt.verifier),
            "code_challenge_method": "S256",
        }
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(parameters, quote_via=quote)}"

    async def redeem(self, code: str, issuer: str | None, attempt: SignInSecrets) -> IdentityClaims:
        discovery = await self._discovery.get()
        must_check_issuer = issuer is not None or discovery.authorization_response_iss_parameter_supported
        if must_check_issuer and not hmac.compare_digest((issuer or "").encode(), self._client.issuer.encode()):
            raise BadRequest("Another provider sent this answer. Sign in again.", reason="oidc_issuer")
        tokens = await self._exchange_code(discovery, code, attempt)
        claims = await self._id_tokens.validate(
            tokens.id_token, attempt.nonce, discovery.id_token_signing_alg_values_supported
        )
        return self._build_person(claims.sub, await self._collect_claims(discovery, claims, tokens.access_token))

    async def _fetch_discovery(self) -> Discovery:
        issuer = self._client.issuer
        found = await self._http.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration", Discovery)
        if found.issuer != issuer:
            raise IdentityUnavailable(
                "The identity provider names another issuer than OIDC_ISSUER. An admin has to correct that."
            )
        used = (found.authorization_endpoint, found.token_endpoint, found.jwks_uri, found.userinfo_endpoint)
        if not all(self._is_allowed_url(one) for one in used if one is not None):
            raise IdentityUnavailable(
                "The identity provider names endpoints without TLS. An admin has to check OIDC_ISSUER."
            )
        return found

    def _is_allowed_url(self, url: str) -> bool:
        parts = urlsplit(url)
        return bool(parts.hostname) and parts.scheme in (("https", "http") if self._client.allow_http else ("https",))

    async def _fetch_keys(self) -> JsonWebKeySet:
        return await self._http.get((await self._discovery.get()).jwks_uri, JsonWebKeySet)

    async def _exchange_code(self, discovery: Discovery, code: str, attempt: SignInSecrets) -> TokenResponse:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self._client.redirect_uri,
            "code_verifier": attempt.verifier,
        }
        headers = self._authenticate_client(discovery, form)
        answer = await self._http.post(discovery.token_endpoint, TokenResponse, form, headers)
        if not isinstance(answer, TokenError):
            return answer
        logger.warning("The identity provider issued no token: %s", answer.error, extra={"action": "oidc.refused"})
        if answer.error == "invalid_grant":
            raise BadRequest(
                "The identity provider does not accept this code any more. Sign in again.", reason="oidc_code"
            )
        raise IdentityUnavailable(
            f"The identity provider refuses the engine ({answer.error}). "
            "An admin has to compare OIDC_CLIENT_ID and OIDC_CLIENT_SECRET with the provider's."
        )

    def _authenticate_client(self, discovery: Discovery, form: dict[str, str]) -> dict[str, str]:
        """Authenticate the client with a Basic header, or with the secret in the form if the provider requires that."""
        client, methods = self._client, discovery.token_endpoint_auth_methods_supported
        if client.secret is not None and ("client_secret_basic" in methods or "client_secret_post" not in methods):
            pair = f"{quote(client.id, safe='')}:{quote(client.secret, safe='')}"
            return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
        form["client_id"] = client.id
        if client.secret is not None:
            form["client_secret"] = client.secret
        return {}

    async def _collect_claims(
        self, discovery: Discovery, claims: IdTokenClaims, access_token: str | None
    ) -> JsonObject:
        """Return the ID token's claims, completed from userinfo."""
        profile: JsonObject = claims.model_dump()
        is_complete = "email" in profile and _find_claim(profile, self._client.groups_claim) is not None
        if is_complete or discovery.userinfo_endpoint is None or access_token is None:
            return profile
        userinfo = await self._http.get(discovery.userinfo_endpoint, UserInfo, access_token)
        if userinfo.sub != claims.sub:
            raise BadRequest("The identity provider described another person. Sign in again.", reason="oidc_token")
        return {**userinfo.model_dump(), **profile}

    def _build_person(self, subject: str, profile: JsonObject) -> IdentityClaims:
        email, name, verified = _parse_email(profile.get("email")), profile.get("name"), profile.get("email_verified")
        return IdentityClaims(
            issuer=self._client.issuer,
            subject=subject,
            email=email,
            email_verified=email is not None and (verified is True or verified == "true"),
            name=clean_name(name[:MAX_NAME], MAX_NAME) or None if isinstance(name, str) else None,
            groups=_parse_groups(_find_claim(profile, self._client.groups_claim)),
        )


def _challenge(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _find_claim(profile: JsonObject, name: str) -> Json:
    """Find a claim by its name, or else by a dotted path such as `realm_access.roles`."""
    if name in profile:
        return profile[name]
    found: Json = profile
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _parse_groups(claim: Json) -> frozenset[str]:
    named = [claim] if isinstance(claim, str) else claim if isinstance(claim, list) else []
    return frozenset(one for one in named[:MAX_GROUPS] if isinstance(one, str))


def _parse_email(claim: Json) -> str | None:
    try:
        found = _EMAIL.validate_python(claim)
    except ValidationError:
        return None
    return found.lower() if len(found) <= 320 else None
