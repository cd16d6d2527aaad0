"""What is said to an OpenID provider: bounded in time and size, following no redirect, and read as what it must be."""

import asyncio
from collections.abc import Mapping
from typing import TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from src.api.errors import IdentityUnavailable
from src.api.schemas.base import JsonObject

__all__ = ["Discovery", "KeySet", "Refusal", "Tokens", "UserInfo", "Wire"]

STEP_SECONDS = 5.0
ANSWER_SECONDS = 10.0
ANSWER_BYTES = 262_144

M = TypeVar("M", bound=BaseModel)


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class Discovery(_Answer):
    """The provider's own description. Endpoints are checked by whoever uses them."""

    issuer: str = Field(max_length=500)
    authorization_endpoint: str = Field(max_length=2_000)
    token_endpoint: str = Field(max_length=2_000)
    jwks_uri: str = Field(max_length=2_000)
    userinfo_endpoint: str | None = Field(default=None, max_length=2_000)
    id_token_signing_alg_values_supported: tuple[str, ...] = ()
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class KeySet(_Answer):
    keys: tuple[JsonObject, ...] = Field(max_length=200)


class Tokens(_Answer):
    id_token: str = Field(max_length=65_536, repr=False)
    access_token: str | None = Field(default=None, max_length=65_536, repr=False)


class Refusal(_Answer):
    error: str = Field(pattern=r"^[a-z_]{1,64}$")


class UserInfo(_Answer):
    """Claims about whoever the access token is for; `sub` must be the ID token's."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)
    sub: str = Field(max_length=255)


class Wire:
    """One client for all that is asked of a provider. Raises `IdentityUnavailable`, without the provider's words.

    Each request has a connection of its own: one kept open may be closed by the provider while a code is on its way.
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
        status, body = await self._ask("GET", url, headers, None)
        if status != 200:
            raise IdentityUnavailable(f"The identity provider answered with status {status}, not with what was asked.")
        return parsed(kind, body)

    async def post(self, url: str, kind: type[M], form: Mapping[str, str], headers: Mapping[str, str]) -> M | Refusal:
        """The answer, or how the provider refused."""
        status, body = await self._ask("POST", url, headers, form)
        if status in (400, 401):
            return parsed(Refusal, body)
        if status != 200:
            raise IdentityUnavailable(f"The identity provider answered with status {status}. Try again in a moment.")
        return parsed(kind, body)

    async def _ask(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> tuple[int, bytes]:
        asked = self._client.stream(method, url, headers=dict(headers), data=dict(form) if form else None)
        try:
            async with asyncio.timeout(ANSWER_SECONDS), asked as answer:
                body = bytearray()
                async for chunk in answer.aiter_raw():
                    body += chunk
                    if len(body) > ANSWER_BYTES:
                        raise IdentityUnavailable("The identity provider sent more than an answer can be.")
                return answer.status_code, bytes(body)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise IdentityUnavailable("The identity provider did not answer in time. Try again in a moment.") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            cause = type(error).__name__
            raise IdentityUnavailable(
                f"The identity provider can't be reached ({cause}). Try again in a moment, or ask an admin."
            ) from error


def parsed(kind: type[M], body: bytes) -> M:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        raise IdentityUnavailable(
            f"The identity provider sent something that is no {kind.__name__}. An admin has to look at OIDC_ISSUER."
        ) from error
