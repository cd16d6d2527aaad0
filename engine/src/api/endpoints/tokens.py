"""`/auth/tokens`: tokens for machines that act as their owner."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from src.api.endpoints.dependencies import Api, SignedIn
from src.api.schemas.tokens import TokenList, TokenMade, TokenWanted

router = APIRouter(prefix="/auth/tokens", tags=["tokens"])

Whose = Annotated[str | None, Query(min_length=1, max_length=64, description="Somebody else, for admins")]


@router.get("")
async def mine(api: Api, caller: SignedIn, user_id: Whose = None) -> TokenList:
    """The caller's tokens, or for admins those of `user_id`; the newest first."""
    return await api.tokens.list(caller, user_id)


@router.post("", status_code=201)
async def add(api: Api, caller: SignedIn, wanted: TokenWanted) -> TokenMade:
    """Makes a token of the caller's own. It is shown this once. 409 where there are 20 already."""
    return await api.tokens.add(caller, wanted)


@router.delete("/{token_id}", status_code=204)
async def revoke(
    api: Api, caller: SignedIn, token_id: Annotated[str, Path(max_length=64)], user_id: Whose = None
) -> None:
    """Ends a token of the caller's, or for admins one of `user_id`; its streams end within seconds."""
    await api.tokens.revoke(caller, token_id, user_id)
