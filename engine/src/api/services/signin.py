"""What the endpoints know of sign-in by an OpenID provider; `oidc.py` implements it, loaded when somebody needs it."""

from dataclasses import dataclass, field
from typing import Protocol

from pydantic import SecretStr

from src.api.services.access import Caller
from src.api.services.accounts import Session

__all__ = ["ATTEMPT_SECONDS", "Begun", "Entered", "Returned", "SignIn"]

ATTEMPT_SECONDS = 600
"""How long a person may take at the provider."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and the cookie that it must bring back."""

    url: str
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Returned:
    """What a browser brings back from the provider, in its address."""

    state: str | None
    code: str | None = field(repr=False)
    issuer: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Entered:
    """A session that has begun, with its first refresh token, and the path to go on to."""

    session: Session
    next: str


class SignIn(Protocol):
    """Each call raises `IdentityUnavailable` while the provider gives no usable answer."""

    async def begin(self, following: str) -> Begun:
        """Sends somebody to the provider, who comes back to the path `following`."""

    async def link(self, caller: Caller, password: SecretStr, following: str) -> Begun:
        """The same, for the caller's account to be linked. Raises `BadRequest` for a wrong password, `Forbidden`."""

    async def finish(self, cookie: str | None, returned: Returned) -> Entered:
        """Who comes back from the provider is signed in, once for each time that was begun.

        Raises `BadRequest` for what does not belong together or is not proved, `Forbidden` for somebody who is not
        let in, `Conflict` for an account that must be linked first. `reason` in `extra` is a word for programs.
        """

    async def check(self) -> None:
        """Asks whether the provider is there."""
