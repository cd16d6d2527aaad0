"""`/app`: what a page needs to know about this engine."""

from fastapi import APIRouter

from src.api.endpoints.dependencies import Api, MaybeSignedIn
from src.api.schemas.application import AppView, SignedInAppView

router = APIRouter(prefix="/app", tags=["app"])


@router.get("")
async def describe(api: Api, caller: MaybeSignedIn) -> SignedInAppView | AppView:
    """Describe the engine: version and ways to sign in; to signed-in users also model, sandbox and clusters."""
    return await api.application.view(caller)
