"""`/auth/tokens`: API tokens for machines that act as their owner."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from src.api.endpoints.dependencies import Api, SignedIn
from src.api.schemas.tokens import TokenCreate, TokenCreated, TokenList

router = APIRouter(prefix="/auth/tokens", tags=["tokens"])

OwnerId = Annotated[str | None, Query(min_length=1, max_length=64, description="Another user, for admins")]


@router.get("")
async def list_tokens(api: Api, caller: SignedIn, user_id: OwnerId = None) -> TokenList:
    """List the caller's tokens, or, for admins, those of `user_id`; newest first."""
    return await api.tokens.list(caller, user_id)


@router.post("", status_code=201)
async def add(api: Api, caller: SignedIn, wanted: TokenCreate) -> TokenCreated:
    """Create a token for the caller. It is shown only once. 409 if there are 20 already."""
    return await api.tokens.add(caller, wanted)


@router.delete("/{token_id}", status_code=204)
async def revoke(
    api: Api, caller: SignedIn, token_id: Annotated[str, Path(max_length=64)], user_id: OwnerId = None
) -> None:
    """Revoke a token of the caller or, for admins, of `user_id`. Its streams end within seconds."""
    await api.tokens.revoke(caller, token_id, user_id)
