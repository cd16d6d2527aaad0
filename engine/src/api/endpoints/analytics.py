"""`/analytics`: usage figures, for admins, and everybody's own budgets."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BeforeValidator

from src.api.endpoints.dependencies import Api, SignedIn
from src.api.schemas.analytics import Metrics
from src.api.schemas.budgets import BudgetsView

router = APIRouter(prefix="/analytics", tags=["analytics"])


def _day_of(value: object) -> object:
    """Return the day of a time such as `2026-01-31T23:00:00Z`."""
    return value[:10] if isinstance(value, str) and value[10:11] in ("T", " ") else value


Day = Annotated[
    date | None,
    BeforeValidator(_day_of),
    Query(description="A day in UTC such as 2026-01-31, included; of a time, its day counts"),
]
LastDays = Annotated[int | None, Query(ge=1, le=366, description="Days up to `until`, included")]


@router.get("/metrics")
async def metrics(
    api: Api,
    caller: SignedIn,
    since: Day = None,
    until: Day = None,
    start_date: Day = None,
    end_date: Day = None,
    last_n_days: LastDays = None,
) -> Metrics:
    """Return cost, tokens, latency, runs, approvals and tool calls by day: at most 366 days, by default the last 30.

    `start_date` and `end_date` are other names of `since` and `until`; `last_n_days` counts only without `since`.
    """
    return await api.analytics.metrics(caller, since or start_date, until or end_date, last_n_days)


@router.get("/budgets")
async def budgets(api: Api, caller: SignedIn) -> BudgetsView:
    """Return the budgets that apply to the caller, and what is used of them today (UTC)."""
    return await api.budgets.view(caller)
