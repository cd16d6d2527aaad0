"""`/health`: liveness, database and readiness."""

from fastapi import APIRouter, Response

from src.api.endpoints.dependencies import Api, MaybeSignedIn
from src.api.schemas.health import Alive, DatabaseHealth, Readiness

router = APIRouter(prefix="/health", tags=["health"])


@router.get("")
async def alive() -> Alive:
    """Report that the process is alive, without checking anything else."""
    return Alive()


@router.get("/database", responses={503: {"model": DatabaseHealth}})
async def database(api: Api, response: Response) -> DatabaseHealth:
    """Report whether the database answers; 503 if not."""
    found = await api.health.database()
    response.status_code = 200 if found.status == "ok" else 503
    return found


@router.get("/ready", responses={503: {"model": Readiness}})
async def ready(api: Api, response: Response, caller: MaybeSignedIn) -> Readiness:
    """Report the state of each dependency; 503 only without the database or its migrations.

    Errors are shown to admins.
    """
    found = await api.health.ready(caller)
    response.status_code = 503 if found.status == "error" else 200
    return found
