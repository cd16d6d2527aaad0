"""Sign-in by an OpenID Connect provider."""

from typing import Protocol

from src.api.schemas.oidc import IdentityClaims, SignInSecrets

__all__ = ["IdentityProvider"]


class IdentityProvider(Protocol):
    """An OpenID provider. Each call raises `IdentityUnavailable` while it gives no usable answer."""

    async def authorization_url(self, attempt: SignInSecrets) -> str:
        """Build the URL that the browser opens to sign in."""

    async def redeem(self, code: str, issuer: str | None, attempt: SignInSecrets) -> IdentityClaims:
        """Exchange the code for the person who signed in; `issuer` is the sender that the answer names.

        Raises `BadRequest` if the answer is not meant for us and for this attempt.
        """

    async def check(self) -> None:
        """Raise `IdentityUnavailable` if the provider is down. It is asked at most twice a minute."""
