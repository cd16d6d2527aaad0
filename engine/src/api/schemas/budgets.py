"""Budgets: hard limits of the tokens and the money that language models use."""

import datetime as dt
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel

from src.api.schemas.base import WireModel

__all__ = ["NANO", "Budget", "BudgetScope", "BudgetState", "BudgetUnit", "BudgetUse", "BudgetsView"]

BudgetScope = Literal["run", "person_day", "team_day"]
BudgetUnit = Literal["tokens", "usd"]

NANO = 1_000_000_000
"""Money is counted in billionths of a US dollar."""

_WARNING_PERCENT = 80


@dataclass(frozen=True, slots=True)
class Budget:
    """One limit. `limit` is in tokens, or in billionths of a US dollar; `source` says where it is set."""

    scope: BudgetScope
    unit: BudgetUnit
    limit: int
    source: str


@dataclass(frozen=True, slots=True)
class BudgetUse:
    """A budget and how much of it is used, in the unit of its limit."""

    budget: Budget
    used: int

    @property
    def is_reached(self) -> bool:
        return self.used >= self.budget.limit

    @property
    def is_near(self) -> bool:
        """Whether 80 % are used, at which the requester is warned."""
        return self.used * 100 >= self.budget.limit * _WARNING_PERCENT


class BudgetState(WireModel):
    """A budget as clients see it: `limit` and `used` are tokens or US dollars. Null `used`: nothing to count yet.

    Days are in UTC; `resets_at` is the start of the next one in ms, null for the budget of a run.
    """

    scope: BudgetScope
    unit: BudgetUnit
    limit: int | float
    used: int | float | None
    source: str
    resets_at: int | None


class BudgetsView(BaseModel):
    """The budgets that apply to the caller. Empty if none is set."""

    status: Literal["success"] = "success"
    day: dt.date
    budgets: list[BudgetState]
