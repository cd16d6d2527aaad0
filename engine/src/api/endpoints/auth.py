"""`/auth`: registration, sign-in and the caller's account."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Form, Request, Response

from src.api.endpoints.dependencies import AUTH_COOKIE, AccountsDependency, Address, Api, Services, SignedIn, is_local
from src.api.errors import NotAuthenticated
from src.api.schemas.auth import (
    AccessToken,
    AdminStatus,
    EmailRequest,
    EmailVerification,
    PasswordChange,
    PasswordReset,
    ProfileChange,
    RefreshedSession,
    RefreshTokenIssued,
    Registration,
    Success,
    UserView,
)
from src.api.services.accounts.accounts import NewRefreshToken, Session

__all__ = ["router", "set_access", "set_refresh"]

router = APIRouter(prefix="/auth", tags=["auth"])

FormField = Annotated[str, Form(min_length=1, max_length=320)]
REFRESH_COOKIE = "refresh_token"
DEVICE_COOKIE = "known_device"
DEVICE_SECONDS = 180 * 86_400
RefreshCookie = Annotated[str | None, Cookie(max_length=200)]


@router.post("/jwt/login")
async def login(
    api: Api,
    accounts: AccountsDependency,
    address: Address,
    response: Response,
    username: FormField,
    password: FormField,
    known_device: Annotated[str | None, Cookie(max_length=200)] = None,
) -> AccessToken:
    """Sign in with e-mail (as `username`) and password, form-encoded. The token is also set as an HttpOnly cookie.

    The cookie `known_device` lets this browser sign in to the account although others send wrong passwords for it.
    """
    device = api.devices.recognize(known_device, username)
    await api.rates.login(address, username, device)
    session = await accounts.login(username, password)
    set_access(api, response, session)
    if device is None:
        _set_device(api, response, username)
    return AccessToken(access_token=session.token)


@router.post("/jwt/logout", status_code=204)
async def logout(api: Api, accounts: AccountsDependency, caller: SignedIn, response: Response) -> None:
    """End the session and delete its cookies."""
    await accounts.logout(caller)
    _delete_cookies(api, response)


@router.post("/logout")
async def end_session(api: Api, accounts: AccountsDependency, caller: SignedIn, response: Response) -> Success:
    """End the session and its refresh tokens, and delete its cookies."""
    await logout(api, accounts, caller, response)
    return Success()


@router.post("/refresh/issue")
async def issue(api: Api, accounts: AccountsDependency, caller: SignedIn, response: Response) -> RefreshTokenIssued:
    """Return a refresh token and set it as the cookie `refresh_token`. It works once and is replaced on use."""
    issued = await accounts.issue_refresh_token(caller)
    set_refresh(api, response, issued)
    return RefreshTokenIssued(refresh_token=issued.token, expires_in=issued.expires_in)


@router.post("/refresh")
async def refresh(
    api: Api, accounts: AccountsDependency, response: Response, refresh_token: RefreshCookie = None
) -> RefreshedSession:
    """Exchange the cookie `refresh_token` for new tokens.

    Two requests with the same token within 30 s both succeed. A used token that comes back later ends its session.
    """
    if not refresh_token:
        raise NotAuthenticated("There is no refresh token. Sign in, then ask for one at /auth/refresh/issue.")
    session = await accounts.refresh(refresh_token)
    set_access(api, response, session)
    if session.refresh is not None:
        set_refresh(api, response, session.refresh)
    return RefreshedSession(access_token=session.token, user=session.user)


@router.post("/register/register", status_code=201)
async def register(
    api: Api, accounts: AccountsDependency, address: Address, request: Request, wanted: Registration
) -> UserView:
    """Create an account. The first user becomes the admin; later ones need `REGISTRATION_ENABLED`."""
    if api.settings.local_mode and not is_local(request):
        raise NotAuthenticated("In local mode accounts are made from this machine only.")
    await api.rates.registration(address)
    return await accounts.register(wanted)


@router.post("/reset-password/forgot-password", status_code=202)
async def forgot_password(api: Api, accounts: AccountsDependency, address: Address, wanted: EmailRequest) -> None:
    """E-mail a link to reset the password, if the account exists. The response is the same if it does not."""
    await api.rates.email(address, wanted.email)
    await accounts.send_reset_link(wanted.email)


@router.post("/reset-password/reset-password")
async def reset_password(accounts: AccountsDependency, wanted: PasswordReset) -> None:
    """Set a new password with the token of a reset link. It works once and ends every session of the account."""
    await accounts.reset_password(wanted)


@router.post("/verify/request-verify-token", status_code=202)
async def request_verify_token(api: Api, accounts: AccountsDependency, address: Address, wanted: EmailRequest) -> None:
    """E-mail a verification link, if an account needs one. The response is the same if none does."""
    await api.rates.email(address, wanted.email)
    await accounts.send_verification_link(wanted.email)


@router.post("/verify/verify")
async def verify(accounts: AccountsDependency, wanted: EmailVerification) -> UserView:
    """Verify the account's e-mail with the token of a verification link."""
    return await accounts.verify_email(wanted.token)


@router.get("/is_admin_user")
async def is_admin_user(accounts: AccountsDependency) -> AdminStatus:
    """Return whether the next user to register becomes the admin."""
    return AdminStatus(is_admin=await accounts.has_no_users())


@router.get("/me")
async def me(accounts: AccountsDependency, caller: SignedIn) -> UserView:
    """Return the caller's account."""
    return await accounts.profile(caller)


@router.patch("/me")
async def change_me(
    api: Api, accounts: AccountsDependency, caller: SignedIn, address: Address, wanted: ProfileChange
) -> UserView:
    """Change name, e-mail or password. The last two need `current_password`.

    A new e-mail is `pending_email` until its owner opens the link that is sent to it.
    """
    if wanted.current_password is not None:
        await api.rates.confirmation(caller)
    if wanted.email is not None:
        await api.rates.email(address, wanted.email)
    return await accounts.change_profile(caller, wanted)


@router.patch("/users/me/password")
async def change_password(api: Api, accounts: AccountsDependency, caller: SignedIn, wanted: PasswordChange) -> UserView:
    """Change the password. This ends every other session."""
    await api.rates.confirmation(caller)
    return await accounts.change_password(caller, wanted)


def _set_device(api: Services, response: Response, email: str) -> None:
    path, secure = f"{api.settings.api_v1_str}{router.prefix}/jwt/login", not api.settings.local_mode
    response.set_cookie(
        DEVICE_COOKIE, api.devices.issue(email), DEVICE_SECONDS, path, httponly=True, secure=secure, samesite="strict"
    )


def set_access(api: Services, response: Response, session: Session) -> None:
    secure = not api.settings.local_mode
    response.set_cookie(AUTH_COOKIE, session.token, session.expires_in, httponly=True, secure=secure, samesite="lax")


def set_refresh(api: Services, response: Response, refresh: NewRefreshToken) -> None:
    """Set the refresh cookie. Its path is `/`, so that pages and proxies that set it again hold one cookie, not two."""
    secure = not api.settings.local_mode
    response.set_cookie(
        REFRESH_COOKIE, refresh.token, refresh.expires_in, httponly=True, secure=secure, samesite="strict"
    )


def _delete_cookies(api: Services, response: Response) -> None:
    secure = not api.settings.local_mode
    response.delete_cookie(AUTH_COOKIE, httponly=True, secure=secure, samesite="lax")
    response.delete_cookie(REFRESH_COOKIE, httponly=True, secure=secure, samesite="strict")
