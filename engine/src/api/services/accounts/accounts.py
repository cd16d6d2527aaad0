"""The interface of accounts and sessions that endpoints depend on.

The implementation in `auth.py` takes half a second to import, so the container loads it after the port is open.
"""

from dataclasses import dataclass
from typing import Protocol

from pydantic import SecretStr

from src.api.schemas.auth import PasswordChange, PasswordReset, ProfileChange, Registration, ResetLink, UserView
from src.api.services.access import LOCAL_ADMIN_ID, Caller, Role

__all__ = ["LOCAL_ADMIN", "Accounts", "NewRefreshToken", "Session"]

LOCAL_ADMIN = Caller(id=LOCAL_ADMIN_ID, role=Role.ADMIN, name="local")
"""The caller of requests from this machine in local mode. It is not a registered user."""


@dataclass(frozen=True, slots=True)
class NewRefreshToken:
    """A refresh token that works once. `expires_in` is in seconds."""

    token: str
    expires_in: int


@dataclass(frozen=True, slots=True)
class Session:
    """An access token with its user, and the next refresh token where one was used. `expires_in` is in seconds."""

    token: str
    expires_in: int
    user: UserView
    refresh: NewRefreshToken | None = None


class Accounts(Protocol):
    async def authenticate(self, token: str) -> Caller:
        """Return the caller of an access token.

        Raises `NotAuthenticated` if the token is forged or expired, its session has ended, or its user was removed.
        """

    async def login(self, email: str, password: str) -> Session:
        """Sign in with e-mail and password.

        Raises `BadRequest` with the same text, and after the same time, whether the e-mail or the password is wrong.
        """

    async def issue_refresh_token(self, caller: Caller) -> NewRefreshToken:
        """Issue a refresh token for the caller's session. Raises `Forbidden` for callers without one: machines and the
        local admin.
        """

    async def refresh(self, token: str) -> Session:
        """Exchange a refresh token for new tokens of its session. Raises `NotAuthenticated`.

        A token that was used more than 30 s ago ends its session.
        """

    async def logout(self, caller: Caller) -> None:
        """End the caller's session. Its access tokens and refresh tokens stop working at once."""

    async def register(self, wanted: Registration) -> UserView:
        """Create an account; the first user becomes the admin. Raises `Forbidden` while registration is closed,
        `BadRequest`.
        """

    async def hash_password(self, email: str, password: SecretStr, reason: str = ...) -> str:
        """Validate a password for the account with this e-mail and return its hash.

        Raises `BadRequest` with this `reason` if the password is too weak.
        """

    async def send_reset_link(self, email: str) -> None:
        """E-mail a link to reset the password, in the background, so that callers can't find out whether the account
        exists.
        """

    async def make_reset_link(self, user_id: str) -> ResetLink:
        """Return a link to reset the account's password. Raises `NotFound`, and `Conflict` if it has no password or is
        removed.
        """

    async def reset_password(self, wanted: PasswordReset) -> None:
        """Set a new password with the token of a reset link and end every session. Raises `BadRequest`."""

    async def send_verification_link(self, email: str) -> None:
        """E-mail a verification link, in the background, if an active account has this unverified e-mail."""

    async def verify_email(self, token: str) -> UserView:
        """Mark the e-mail of a verification link as verified and return its account. Raises `BadRequest`.

        A pending e-mail replaces the account's former one.
        """

    async def has_no_users(self) -> bool:
        """Whether no user exists yet."""

    async def profile(self, caller: Caller) -> UserView: ...

    async def change_profile(self, caller: Caller, wanted: ProfileChange) -> UserView:
        """Change name, e-mail or password.

        A new e-mail is pending until the link that is sent to it is opened. A new password ends every other session of
        the caller and drops a pending e-mail. Raises `BadRequest` if a new e-mail or password comes without the correct
        current password, or if no link can be sent.
        """

    async def change_password(self, caller: Caller, wanted: PasswordChange) -> UserView:
        """Change the password and end every other session of the caller. Raises `BadRequest` if the current one is
        wrong.
        """

    async def confirm_password(self, caller: Caller, password: SecretStr) -> None:
        """Check the caller's password.

        Raises `BadRequest` if it is wrong, `Forbidden` for callers without an account.
        """
