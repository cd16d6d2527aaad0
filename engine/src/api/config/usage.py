"""Settings that limit what language models may use, and how long conversations are kept."""

from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

__all__ = ["UsageSettings"]

_Tokens = Annotated[int | None, Field(ge=1, le=1_000_000_000_000)]
_Dollars = Annotated[float | None, Field(gt=0, le=1_000_000, allow_inf_nan=False)]


class UsageSettings(BaseSettings):
    """Hard limits per run, per person and day, and of the whole team per day; and the retention time. Unset: none.

    Days of budgets are in UTC.
    """

    budget_run_tokens: _Tokens = None
    budget_run_usd: _Dollars = None
    budget_person_day_tokens: _Tokens = None
    budget_person_day_usd: _Dollars = None
    budget_team_day_tokens: _Tokens = None
    budget_team_day_usd: _Dollars = None

    retention_days: int | None = Field(default=None, ge=1, le=36_500)
    """Conversations without activity for this time are erased, as by their owners."""

    @field_validator("budget_run_usd", "budget_person_day_usd", "budget_team_day_usd")
    @classmethod
    def _check_tokens_beside_money(cls, value: float | None, info: ValidationInfo) -> float | None:
        """Require a limit that also holds for a model whose price is not known."""
        tokens = f"{(info.field_name or '').removesuffix('usd')}tokens"
        if value is not None and info.data.get(tokens, "") is None:
            raise ValueError(f"does not limit a model whose price is not known; set {tokens.upper()} too")
        return value
