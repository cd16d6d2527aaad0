"""`/analytics`: figures of use, for admins."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query

from src.api.endpoints.dependencies import Api, SignedIn
from src.api.schemas.analytics import Metrics

router = APIRouter(prefix="/analytics", tags=["analytics"])

Bound = Annotated[date | None, Query(description="A day in UTC, as 2026-01-31; it counts too")]


@router.get("/metrics")
async def metrics(api: Api, caller: SignedIn, since: Bound = None, until: Bound = None) -> Metrics:
    """Cost, tokens, latency, runs, approvals and tool calls by day, over 366 days at most; by default the last 30."""
    return await api.analytics.metrics(caller, since, until)
