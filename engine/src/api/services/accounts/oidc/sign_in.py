"""The interface of OpenID Connect sign-in that endpoints depend on. `service.py` implements it and is loaded on first
use.
"""

from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from src.api.services.access import Caller
from src.api.services.accounts.accounts import Session

__all__ = ["ATTEMPT_SECONDS", "SignIn", "SignInCallback", "SignInResult", "SignInStarted"]

ATTEMPT_SECONDS = 600
"""Time that a user may take at the provider."""


@dataclass(frozen=True, slots=True)
class SignInStarted:
    """The provider's URL to redirect to, and the cookie that the browser must bring back."""

    url: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignInCallback:
    """The query parameters of the provider's redirect."""

    state: str | None
    code: str | None = field(repr=False)
    issuer: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class SignInResult:
    """The new session with its first refresh token, and the path to redirect to."""

    session: Session
    next: str


class SignIn(Protocol):
    """Sign in with an OpenID provider.

    Methods raise `IdentityUnavailable` while the provider gives no usable answer.
    """

    async def begin(self, next_path: str) -> SignInStarted:
        """Begin a sign-in that returns to `next_path`."""

    async def link(self, caller: Caller, password: SecretStr, next_path: str) -> SignInStarted:
        """Begin a sign-in that links the caller's account. Raises `BadRequest` for a wrong password, `Forbidden`."""

    async def finish(self, cookie: str | None, returned: SignInCallback) -> SignInResult:
        """Complete a sign-in; each can be completed once.

        Raises `BadRequest` if cookie and parameters do not match or are not valid, `Forbidden` if the user may not sign
        in, and
        `Conflict` if an existing account must be linked first. `reason` in `extra` is a code for programs.
        """

    async def check(self) -> None:
        """Check that the provider is reachable."""
