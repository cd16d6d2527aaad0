"""The risk of a change: a level, and the reasons for it."""

from collections.abc import Iterable
from typing import Literal

from pydantic import BaseModel

RiskLevel = Literal["low", "medium", "high", "destructive"]
RISK_LEVELS: tuple[RiskLevel, ...] = ("low", "medium", "high", "destructive")
MAX_REASONS = 5


class Risk(BaseModel):
    """The level of risk of a change, and the reason for it."""

    level: RiskLevel
    reason: str


def highest_risk(risks: Iterable[Risk]) -> Risk:
    """Return the highest of at least one risk, with the reasons of all that are as high."""
    found = list(risks)
    level = max((risk.level for risk in found), key=RISK_LEVELS.index)
    reasons = list(dict.fromkeys(risk.reason for risk in found if risk.level == level))
    more = [f"{len(reasons) - MAX_REASONS} more reasons"] if len(reasons) > MAX_REASONS else []
    return Risk(level=level, reason="; ".join([*reasons[:MAX_REASONS], *more]))
