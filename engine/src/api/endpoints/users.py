"""`/auth/users`: one's own account, and for admins everybody's."""

from typing import Annotated

from fastapi import APIRouter, Path

from src.api.endpoints import auth
from src.api.endpoints.dependencies import Api, SignedIn, TheAccounts
from src.api.schemas.auth import AccountChange, ProfileChange, UserView

router = APIRouter(prefix="/auth/users", tags=["users"])

UserId = Annotated[str, Path(max_length=64)]


@router.get("/me")
async def me(accounts: TheAccounts, caller: SignedIn) -> UserView:
    """The caller's account, as at `/auth/me`."""
    return await accounts.me(caller)


@router.patch("/me")
async def change_me(api: Api, accounts: TheAccounts, caller: SignedIn, wanted: ProfileChange) -> UserView:
    """Changes name, e-mail or password, as at `/auth/me`: the last two need `current_password`."""
    return await auth.change_me(api, accounts, caller, wanted)


@router.get("/{user_id}")
async def one(api: Api, caller: SignedIn, user_id: UserId) -> UserView:
    """Somebody's account, for admins."""
    return await api.team.account(caller, user_id)


@router.patch("/{user_id}")
async def change(api: Api, caller: SignedIn, user_id: UserId, wanted: AccountChange) -> UserView:
    """Changes somebody's account, for admins; their own as at `/auth/me`. 409 where no admin would be left."""
    if wanted.current_password is not None:
        await api.rates.confirmation(caller.id)
    return await api.team.change_account(caller, user_id, wanted)


@router.delete("/{user_id}", status_code=204)
async def remove(api: Api, caller: SignedIn, user_id: UserId) -> None:
    """Deactivates the account and ends its sessions, for admins. 409 for the last admin."""
    await api.team.remove(caller, user_id)
