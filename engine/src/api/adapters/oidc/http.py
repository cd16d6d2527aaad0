"""Send requests to an OpenID provider with limits on time and size, no redirects, and validated responses."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.api.errors import IdentityUnavailable
from src.api.schemas.base import JsonObject

__all__ = ["Discovery", "JsonWebKeySet", "ProviderHttpClient", "TokenError", "TokenResponse", "UserInfo"]

STEP_SECONDS = 5.0
RESPONSE_SECONDS = 10.0
MAX_RESPONSE_BYTES = 262_144

M = TypeVar("M", bound=BaseModel)


class _ProviderModel(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Discovery(_ProviderModel):
    """The provider's discovery document. The code that uses an endpoint checks its URL."""

    issuer: str = Field(max_length=500)
    authorization_endpoint: str = Field(max_length=2_000)
    token_endpoint: str = Field(max_length=2_000)
    jwks_uri: str = Field(max_length=2_000)
    userinfo_endpoint: str | None = Field(default=None, max_length=2_000)
    id_token_signing_alg_values_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class JsonWebKeySet(_ProviderModel):
    keys: tuple[JsonObject, ...] = Field(max_length=200)


class TokenResponse(_ProviderModel):
    id_token: str = Field(max_length=65_536, repr=False)
    access_token: str | None = Field(default=None, max_length=65_536, repr=False)


class TokenError(_ProviderModel):
    error: str = Field(pattern=r"^[a-z_]{1,64}$")


class UserInfo(_ProviderModel):
    """The userinfo claims for the access token; `sub` must equal the ID token's."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    sub: str = Field(max_length=255)


class ProviderHttpClient:
    """HTTP client for one provider. Raises `IdentityUnavailable`, whose text never quotes the provider.

    Each request opens its own connection: the provider could close a kept one while an authorization code is in flight.
    """

    def __init__(self) -> None:
        self._client = httpx.AsyncClient(
            follow_redirects=False,
            timeout=STEP_SECONDS,
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=0),
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def get(self, url: str, kind: type[M], token: str | None = None) -> M:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        status, body = await self._request("GET", url, headers, None)
        if status != 200:
            raise IdentityUnavailable(
                f"The identity provider answered with status {status}. An admin has to check OIDC_ISSUER."
            )
        return parse_model(kind, body)

    async def post(
        self, url: str, kind: type[M], form: Mapping[str, str], headers: Mapping[str, str]
    ) -> M | TokenError:
        """Post a form and return the response, or the OAuth error that the provider sent."""
        status, body = await self._request("POST", url, headers, form)
        if status in (400, 401):
            return parse_model(TokenError, body)
        if status != 200:
            raise IdentityUnavailable(f"The identity provider answered with status {status}. Try again in a moment.")
        return parse_model(kind, body)

    async def _request(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        request = self._client.stream(method, url, headers=dict(headers), data=dict(form) if form else None)
        try:
            async with asyncio.timeout(RESPONSE_SECONDS), request as response:
                body = bytearray()
                async for chunk in response.aiter_raw():
                    body += chunk
                    if len(body) > MAX_RESPONSE_BYTES:
                        raise IdentityUnavailable("The identity provider sent a response that is too large.")
                return response.status_code, bytes(body)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise IdentityUnavailable("The identity provider did not answer in time. Try again in a moment.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            cause = type(error).__name__
            raise IdentityUnavailable(
                f"The identity provider can't be reached ({cause}). Try again in a moment, or ask an admin."
            ) from error


def parse_model(kind: type[M], body: bytes) -> M:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise IdentityUnavailable(
            f"The identity provider sent an invalid {kind.__name__}. An admin has to check OIDC_ISSUER."
        ) from error
