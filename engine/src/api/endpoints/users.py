"""`/auth/users`: the caller's account, and all accounts for admins."""

from typing import Annotated

from fastapi import APIRouter, Path

from src.api.endpoints import auth
from src.api.endpoints.dependencies import AccountsDependency, Address, Api, SignedIn
from src.api.schemas.auth import AccountChange, ProfileChange, ResetLink, UserView

router = APIRouter(prefix="/auth/users", tags=["users"])

UserId = Annotated[str, Path(max_length=64)]


@router.get("/me")
async def me(accounts: AccountsDependency, caller: SignedIn) -> UserView:
    """Return the caller's account, as at `/auth/me`."""
    return await accounts.profile(caller)


@router.patch("/me")
async def change_me(
    api: Api, accounts: AccountsDependency, caller: SignedIn, address: Address, wanted: ProfileChange
) -> UserView:
    """Change name, e-mail or password, as at `/auth/me`. The last two need `current_password`."""
    return await auth.change_me(api, accounts, caller, address, wanted)


@router.get("/{user_id}")
async def read_user(api: Api, caller: SignedIn, user_id: UserId) -> UserView:
    """Return any account, for admins."""
    return await api.team.account(caller, user_id)


@router.patch("/{user_id}")
async def change(api: Api, caller: SignedIn, address: Address, user_id: UserId, wanted: AccountChange) -> UserView:
    """Change any account, for admins; their own as at `/auth/me`. 409 if no admin would remain."""
    if wanted.current_password is not None:
        await api.rates.confirmation(caller)
    if user_id == caller.id and wanted.email is not None:
        await api.rates.email(address, wanted.email)
    return await api.team.change_account(caller, user_id, wanted)


@router.post("/{user_id}/reset-link")
async def make_reset_link(api: Api, caller: SignedIn, user_id: UserId) -> ResetLink:
    """Make a link that sets the password of another account, for admins. It works once; the audit log names both."""
    return await api.team.make_reset_link(caller, user_id)


@router.delete("/{user_id}", status_code=204)
async def remove(api: Api, caller: SignedIn, user_id: UserId) -> None:
    """Deactivate the account and end its sessions, for admins. 409 for the last admin."""
    await api.team.remove(caller, user_id)
