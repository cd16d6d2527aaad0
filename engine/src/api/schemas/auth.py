"""Request and response bodies of accounts and sessions."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, SecretStr, StrictBool

from src.api.schemas.base import DISPLAY_NAME
from src.api.utils.names import check_name

__all__ = [
    "AccessToken",
    "AccountChange",
    "AdminStatus",
    "EmailRequest",
    "EmailVerification",
    "PasswordChange",
    "PasswordReset",
    "ProfileChange",
    "RefreshTokenIssued",
    "RefreshedSession",
    "Registration",
    "ResetLink",
    "Success",
    "UserView",
]

Password = Annotated[SecretStr, Field(min_length=8, max_length=256)]
FullName = Annotated[str, Field(max_length=200, json_schema_extra=DISPLAY_NAME), AfterValidator(check_name)]
LinkToken = Annotated[str, Field(min_length=1, max_length=2_000)]


class Registration(BaseModel):
    """A new account. Unknown fields are ignored, a role above all."""

    model_config = ConfigDict(extra="ignore")
    email: EmailStr = Field(max_length=320)
    password: Password
    full_name: FullName | None = None


class ProfileChange(BaseModel):
    """Changes to the caller's account. A new e-mail or password requires `current_password`."""

    model_config = ConfigDict(extra="ignore")
    full_name: FullName | None = None
    email: EmailStr | None = Field(default=None, max_length=320)
    password: Password | None = None
    current_password: SecretStr | None = Field(default=None, max_length=256)


class AccountChange(ProfileChange):
    """Changes that admins may make to other accounts, without `current_password`. Roles are changed at `/team`."""

    is_active: StrictBool | None = None
    is_verified: StrictBool | None = None


class PasswordChange(BaseModel):
    model_config = ConfigDict(extra="forbid")
    current_password: SecretStr = Field(max_length=256)
    new_password: Password


class EmailRequest(BaseModel):
    """The e-mail address to send a link to, if an account has it."""

    model_config = ConfigDict(extra="forbid")
    email: EmailStr = Field(max_length=320)


class PasswordReset(BaseModel):
    """A new password with the token of a reset link."""

    model_config = ConfigDict(extra="forbid")
    token: LinkToken
    password: Password


class ResetLink(BaseModel):
    """A link that sets a new password, to give to the owner of the account. `expires_in` is in seconds."""

    url: str
    expires_in: int


class EmailVerification(BaseModel):
    """The token of a verification link."""

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
    pending_email: str | None = Field(default=None, description="A new e-mail, until its link is opened")


class AccessToken(BaseModel):
    access_token: str
    token_type: Literal["bearer"] = "bearer"  # noqa: S105 - the scheme's name


class RefreshedSession(AccessToken):
    """A new access token. The next refresh token is set as a cookie only."""

    user: UserView


class Success(BaseModel):
    """The request succeeded."""

    status: Literal["success"] = "success"


class RefreshTokenIssued(Success):
    """A refresh token, which is also set as a cookie. `expires_in` is in seconds."""

    refresh_token: str
    expires_in: int


class AdminStatus(BaseModel):
    """`is_admin` is true while no user exists: the next one to register becomes the admin."""

    is_admin: bool
