"""What the endpoints know of accounts and sessions.

Its implementation, `auth.py`, brings half a second of imports, so the container loads it once the port is open.
"""

from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from src.api.schemas.auth import PasswordChange, PasswordReset, ProfileChange, Registration, UserView
from src.api.services.access import LOCAL, Caller, Role

__all__ = ["LOCAL_ADMIN", "Accounts", "Refresh", "Session"]

LOCAL_ADMIN = Caller(id=LOCAL, role=Role.ADMIN, name="local")
"""Whoever sits at the machine in local mode: a person, but not one of the registered users."""


@dataclass(frozen=True, slots=True)
class Refresh:
    """A refresh token, good for one use, and how long it lives, in seconds."""

    token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Session:
    """An access token and how long it lives, in seconds; with the next refresh token where one was used."""

    token: str
    expires_in: int
    user: UserView
    refresh: Refresh | None = None


class Accounts(Protocol):
    async def caller(self, token: str) -> Caller:
        """Whose token this is. Raises `NotAuthenticated` where it is forged or over, its session ended, or its owner
        removed."""

    async def login(self, email: str, password: str) -> Session:
        """Raises `BadRequest`, after the same time and in the same words whether e-mail or password is wrong."""

    async def issue(self, caller: Caller) -> Refresh:
        """A refresh token for the caller's session. Raises `Forbidden` for one without: a machine, the local admin."""

    async def refresh(self, token: str) -> Session:
        """Uses a refresh token up for new tokens of its session. Raises `NotAuthenticated`.

        A token that was used before ends its session.
        """

    async def logout(self, caller: Caller) -> None:
        """Ends the caller's session: its access tokens and refresh tokens are worth nothing from now on."""

    async def register(self, wanted: Registration) -> UserView:
        """The first to come becomes the admin. Raises `Forbidden` while registration is closed, `BadRequest`."""

    async def hashed(self, email: str, password: SecretStr, reason: str = ...) -> str:
        """What to keep of the password for the account of this e-mail.

        Raises `BadRequest`, with this `reason` for programs, where it won't do.
        """

    async def forgot(self, email: str) -> None:
        """Sends a link for a new password, behind this call, if there is an open account: who asks learns nothing."""

    async def reset(self, wanted: PasswordReset) -> None:
        """Sets a new password by the token of such a link and ends every session. Raises `BadRequest`."""

    async def ask_to_verify(self, email: str) -> None:
        """Sends a link that proves this e-mail, behind this call, if an open account has it and has not proved it."""

    async def verify(self, token: str) -> UserView:
        """The account whose e-mail the token of such a link proves. Raises `BadRequest`."""

    async def nobody_yet(self) -> bool:
        """Whether no user exists."""

    async def me(self, caller: Caller) -> UserView: ...

    async def change_me(self, caller: Caller, wanted: ProfileChange) -> UserView:
        """Raises `BadRequest` when a new e-mail or password comes without the right current password.

        A new password ends every other session.
        """

    async def change_password(self, caller: Caller, wanted: PasswordChange) -> UserView:
        """Ends every other session of the caller. Raises `BadRequest` without the right current password."""

    async def confirm(self, caller: Caller, password: SecretStr) -> None:
        """Raises `BadRequest` unless this is the password of the caller, `Forbidden` for one who has no account."""
