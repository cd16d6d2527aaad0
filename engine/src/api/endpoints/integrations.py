"""`/integrations`: what the engine is connected to, for admins."""

from typing import Annotated

from fastapi import APIRouter, Path

from src.api.endpoints.dependencies import Api, Cursor, Limit, SignedIn
from src.api.schemas.integrations import (
    IntegrationChange,
    IntegrationList,
    IntegrationRemoved,
    IntegrationView,
    IntegrationWanted,
)

router = APIRouter(prefix="/integrations", tags=["integrations"])

IntegrationId = Annotated[str, Path(max_length=64)]


@router.get("")
async def integrations(api: Api, caller: SignedIn, limit: Limit = 50, cursor: Cursor = None) -> IntegrationList:
    """All of them, the newest first; of their credentials only where they are and which are set."""
    return await api.integrations.list(caller, cursor, limit)


@router.post("", status_code=201)
async def add(api: Api, caller: SignedIn, wanted: IntegrationWanted) -> IntegrationView:
    """Connects to something. 409 for a name that is taken, 503 where credentials can't be kept: nothing is added."""
    return await api.integrations.add(caller, wanted)


@router.patch("/{integration_id}")
async def change(
    api: Api, caller: SignedIn, integration_id: IntegrationId, wanted: IntegrationChange
) -> IntegrationView:
    """Changes what is given. Credentials are replaced whole; another address needs them again."""
    return await api.integrations.change(caller, integration_id, wanted)


@router.delete("/{integration_id}")
async def remove(api: Api, caller: SignedIn, integration_id: IntegrationId) -> IntegrationRemoved:
    """Forgets it, and removes its credentials."""
    return await api.integrations.remove(caller, integration_id)
