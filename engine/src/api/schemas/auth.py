"""Accounts and sessions on the wire."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, EmailStr, Field, SecretStr, StrictBool

__all__ = [
    "AccessToken",
    "AccountChange",
    "AdminStillMissing",
    "EmailAsked",
    "EmailProof",
    "Finished",
    "PasswordChange",
    "PasswordReset",
    "ProfileChange",
    "Refreshed",
    "Registration",
    "UserView",
]

Password = Annotated[SecretStr, Field(min_length=8, max_length=256)]
FullName = Annotated[str, Field(max_length=200)]
LinkToken = Annotated[str, Field(min_length=1, max_length=2_000)]


class Registration(BaseModel):
    """Who wants in. Whatever else a client sends, a role above all, is ignored."""

    model_config = ConfigDict(extra="ignore")
    email: EmailStr = Field(max_length=320)
    password: Password
    full_name: FullName | None = None


class ProfileChange(BaseModel):
    """What people may change about themselves. A new e-mail or password needs `current_password`."""

    model_config = ConfigDict(extra="ignore")
    full_name: FullName | None = None
    email: EmailStr | None = Field(default=None, max_length=320)
    password: Password | None = None
    current_password: SecretStr | None = Field(default=None, max_length=256)


class AccountChange(ProfileChange):
    """What admins may change about others, without `current_password`. Roles are the team's to change."""

    is_active: StrictBool | None = None
    is_verified: StrictBool | None = None


class PasswordChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    current_password: SecretStr = Field(max_length=256)
    new_password: Password


class EmailAsked(BaseModel):
    """Where to send a link, if an account has this e-mail."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr = Field(max_length=320)


class PasswordReset(BaseModel):
    """A new password, and the token of the link that allows it."""

    model_config = ConfigDict(extra="forbid")
    token: LinkToken
    password: Password


class EmailProof(BaseModel):
    """The token of the link that was sent to an e-mail."""

    model_config = ConfigDict(extra="forbid")
    token: LinkToken


class UserView(BaseModel):
    id: str
    email: str
    full_name: str | None
    is_active: bool
    is_superuser: bool
    is_verified: bool
    role: str
    created_at: int


class AccessToken(BaseModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the scheme's name


class Refreshed(AccessToken):
    """New tokens; the refresh token itself is in the cookie only."""

    user: UserView


class Finished(BaseModel):
    """It is done; there is nothing more to say about it."""

    status: Literal["success"] = "success"


class AdminStillMissing(BaseModel):
    """`is_admin`: nobody has registered yet, so who registers next becomes the admin."""

    is_admin: bool
