"""`/auth`: registering, signing in and out, and who one is."""

from typing import Annotated

from fastapi import APIRouter, Cookie, Form, Request, Response

from src.api.endpoints.dependencies import AUTH_COOKIE, Address, Api, Services, SignedIn, TheAccounts, is_local
from src.api.errors import NotAuthenticated
from src.api.schemas.auth import (
    AccessToken,
    AdminStillMissing,
    EmailAsked,
    EmailProof,
    Finished,
    PasswordChange,
    PasswordReset,
    ProfileChange,
    Refreshed,
    Registration,
    UserView,
)
from src.api.services.accounts import Refresh, Session

__all__ = ["router", "set_access", "set_refresh"]

router = APIRouter(prefix="/auth", tags=["auth"])

Field = Annotated[str, Form(min_length=1, max_length=320)]
REFRESH_COOKIE = "refresh_token"
RefreshCookie = Annotated[str | None, Cookie(max_length=200)]


@router.post("/jwt/login")
async def login(
    api: Api, accounts: TheAccounts, address: Address, response: Response, username: Field, password: Field
) -> AccessToken:
    """Signs in by e-mail (as `username`) and password, form-encoded. The token is also set as an HttpOnly cookie."""
    await api.rates.login(address, username)
    session = await accounts.login(username, password)
    set_access(api, response, session)
    return AccessToken(access_token=session.token)


@router.post("/jwt/logout", status_code=204)
async def logout(api: Api, accounts: TheAccounts, caller: SignedIn, response: Response) -> None:
    """Ends the session and takes its cookies back."""
    await accounts.logout(caller)
    _take_back(api, response)


@router.post("/logout")
async def end_session(api: Api, accounts: TheAccounts, caller: SignedIn, response: Response) -> Finished:
    """Ends the session, its refresh tokens too, and takes its cookies back."""
    await logout(api, accounts, caller, response)
    return Finished()


@router.post("/refresh/issue")
async def issue(api: Api, accounts: TheAccounts, caller: SignedIn, response: Response) -> Finished:
    """Sets the cookie `refresh_token`: good for one use, after which the next one takes its place."""
    set_refresh(api, response, await accounts.issue(caller))
    return Finished()


@router.post("/refresh")
async def refresh(
    api: Api, accounts: TheAccounts, response: Response, refresh_token: RefreshCookie = None
) -> Refreshed:
    """New tokens for the cookie `refresh_token`. One that comes a second time ends its session."""
    if not refresh_token:
        raise NotAuthenticated("There is no refresh token. Sign in, then ask for one at /auth/refresh/issue.")
    session = await accounts.refresh(refresh_token)
    set_access(api, response, session)
    if session.refresh is not None:
        set_refresh(api, response, session.refresh)
    return Refreshed(access_token=session.token, user=session.user)


@router.post("/register/register", status_code=201)
async def register(
    api: Api, accounts: TheAccounts, address: Address, request: Request, wanted: Registration
) -> UserView:
    """Makes an account. The first one becomes the admin; later ones need `REGISTRATION_ENABLED`."""
    if api.settings.local_mode and not is_local(request):
        raise NotAuthenticated("In local mode accounts are made from this machine only.")
    await api.rates.registration(address)
    return await accounts.register(wanted)


@router.post("/reset-password/forgot-password", status_code=202)
async def forgot_password(api: Api, accounts: TheAccounts, address: Address, wanted: EmailAsked) -> None:
    """Sends a link for a new password, if there is such an account. The answer is the same if there is none."""
    await api.rates.letter(address, wanted.email)
    await accounts.forgot(wanted.email)


@router.post("/reset-password/reset-password")
async def reset_password(accounts: TheAccounts, wanted: PasswordReset) -> None:
    """Sets a new password by the token of such a link, once, and ends every session of the account."""
    await accounts.reset(wanted)


@router.post("/verify/request-verify-token", status_code=202)
async def request_verify_token(api: Api, accounts: TheAccounts, address: Address, wanted: EmailAsked) -> None:
    """Sends a link that proves this e-mail, if an account wants that. The answer is the same if none does."""
    await api.rates.letter(address, wanted.email)
    await accounts.ask_to_verify(wanted.email)


@router.post("/verify/verify")
async def verify(accounts: TheAccounts, wanted: EmailProof) -> UserView:
    """Notes that the account's e-mail is proved, by the token of such a link."""
    return await accounts.verify(wanted.token)


@router.get("/is_admin_user")
async def is_admin_user(accounts: TheAccounts) -> AdminStillMissing:
    """Whether the next to register becomes the admin."""
    return AdminStillMissing(is_admin=await accounts.nobody_yet())


@router.get("/me")
async def me(accounts: TheAccounts, caller: SignedIn) -> UserView:
    """The caller's account."""
    return await accounts.me(caller)


@router.patch("/me")
async def change_me(api: Api, accounts: TheAccounts, caller: SignedIn, wanted: ProfileChange) -> UserView:
    """Changes name, e-mail or password; the last two need `current_password`."""
    if wanted.current_password is not None:
        await api.rates.confirmation(caller.id)
    return await accounts.change_me(caller, wanted)


@router.patch("/users/me/password")
async def change_password(api: Api, accounts: TheAccounts, caller: SignedIn, wanted: PasswordChange) -> UserView:
    """Changes the password, which ends every other session."""
    await api.rates.confirmation(caller.id)
    return await accounts.change_password(caller, wanted)


def set_access(api: Services, response: Response, session: Session) -> None:
    secure = not api.settings.local_mode
    response.set_cookie(AUTH_COOKIE, session.token, session.expires_in, httponly=True, secure=secure, samesite="lax")


def set_refresh(api: Services, response: Response, refresh: Refresh) -> None:
    """Goes to no other path than those that need it."""
    path, secure = _refresh_path(api), not api.settings.local_mode
    response.set_cookie(
        REFRESH_COOKIE, refresh.token, refresh.expires_in, path=path, httponly=True, secure=secure, samesite="strict"
    )


def _take_back(api: Services, response: Response) -> None:
    secure = not api.settings.local_mode
    response.delete_cookie(AUTH_COOKIE, httponly=True, secure=secure, samesite="lax")
    response.delete_cookie(REFRESH_COOKIE, _refresh_path(api), httponly=True, secure=secure, samesite="strict")


def _refresh_path(api: Services) -> str:
    return f"{api.settings.api_v1_str}/auth"
